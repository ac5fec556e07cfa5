"""Hugging Face's hub as a place that weights are fetched from.

The library lists (names, sizes, digests, access); the bytes come by plain ranged requests, because an interrupted file must go
on where it stopped in a later process too, and the library begins it anew there.
"""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.schema.errors import HeadroomError, SurroundingsFailed, TaskFailed
from pipelines.schema.weights import Source
from pipelines.weights.extras import DISTRIBUTION
from pipelines.weights.hub import CannotResume, Listing, RemoteFile

_BLOCK = 1 << 20
#: Seconds without a byte after which a connection is given up. The file can be resumed.
_PATIENCE = 30.0


@dataclass(frozen=True)
class HuggingFace:
    """The hub at `endpoint` (HF_ENDPOINT or huggingface.co). Tokens are the library's own business."""

    endpoint: str | None = None

    def listing(self, source: Source) -> Listing:
        """As in `Hub`."""
        api = self._api()
        try:
            info: Any = api.model_info(source.repo, revision=source.revision, files_metadata=True)
        except Exception as error:  # the library's connection errors are those of whichever client it uses
            raise _as_ours(error, source.repo, self._base()) from error
        files = tuple(_remote(sibling) for sibling in info.siblings or ())
        return Listing(str(info.sha), files)

    def blocks(self, source: Source, commit: str, name: str, start: int) -> Iterator[bytes]:
        """As in `Hub`."""
        quoted = "/".join(urllib.parse.quote(part, safe="") for part in (*source.repo.split("/"), "resolve", commit))
        url = f"{self._base()}/{quoted}/{urllib.parse.quote(name)}"
        request = urllib.request.Request(url, headers=self._headers())  # noqa: S310 - the endpoint is the user's own
        if start:
            request.add_header("Range", f"bytes={start}-")
        try:
            with urllib.request.build_opener(_Redirects).open(request, timeout=_PATIENCE) as answer:
                if start and answer.status != http.client.PARTIAL_CONTENT:
                    raise CannotResume(f"{url} cannot be resumed.")
                while block := answer.read(_BLOCK):
                    yield block
        except urllib.error.HTTPError as error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise CannotResume(f"{url} is shorter than {start} bytes.") from error
            raise TaskFailed(f"{url} answers {error.code} {error.reason}.") from error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            raise SurroundingsFailed(f"The connection to {self._base()} failed: {_reason(error)}.") from error

    def _api(self) -> Any:
        try:
            from huggingface_hub import HfApi
        except ImportError:
            raise SurroundingsFailed(
                f"Fetching weights needs huggingface_hub: pip install '{DISTRIBUTION}[fetch]'."
            ) from None
        return HfApi(endpoint=self._base())

    def _base(self) -> str:
        return (self.endpoint or os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")

    def _headers(self) -> dict[str, str]:
        from huggingface_hub import get_token

        token = get_token()
        return {"User-Agent": "headroom", **({"Authorization": f"Bearer {token}"} if token else {})}


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but a token given for one host is not sent to another."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and urllib.parse.urlsplit(newurl)[:2] != urllib.parse.urlsplit(req.full_url)[:2]:
            new.remove_header("Authorization")
        return new


def _remote(sibling: Any) -> RemoteFile:
    lfs: Any = sibling.lfs
    digest = (lfs.get("sha256") if isinstance(lfs, dict) else getattr(lfs, "sha256", None)) if lfs else None
    blob = None if lfs else getattr(sibling, "blob_id", None)  # of a large file it names the pointer
    return RemoteFile(str(sibling.rfilename), int(sibling.size or 0), digest and str(digest), blob and str(blob))


def _as_ours(error: Exception, repo: str, base: str) -> HeadroomError:
    """The error of ours for one of the library's, known by its name: their module has moved between its versions."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "GatedRepoError" in kinds:
        return TaskFailed(
            f"{repo} is given only to those who accepted its terms at {base}/{repo} and are logged in (`hf auth login`)."
        )
    if kinds & {"RepositoryNotFoundError", "RevisionNotFoundError", "HFValidationError"}:
        return TaskFailed(
            f"{base} has no {repo} at that revision, or does not show it without a login (`hf auth login`)."
        )
    return SurroundingsFailed(f"{base} cannot be reached: {_reason(error)}.")


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    text = " ".join(str(reason).split()) or type(error).__name__
    return text.rstrip(".")[:300]
