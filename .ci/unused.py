"""Names that vulture finds no use of, each with what uses it. `make lint` reads this file; nothing runs it."""

# Classes that YAML names (`_target_:`).
World
Mix
Wav
Whisper

# Called by name: cli/screen/live.py by the kind of an event, rich and argparse by their protocols.
_._on_step_started
_._on_progress
_._on_sample
_._on_step_finished
_._on_warning
_._on_alert
_._on_task_failed
_._on_task_skipped
_._on_rung
_._on_replan
_.on_broken_pipe

# Attributes that other libraries read.
_.no_wrap  # rich
_.atexit  # weakref.finalize
_.load_pretrained_speaker_encoder  # coqui-tts calls it while it makes the network
_.enc_spk_ex  # coqui-tts
_.lstm  # a module of a network: its weights are loaded by this name
_.linear
_.mask_feature_prob  # transformers
_.mask_time_prob
_.Trainer  # f5-tts imports it from the module that stands in for another
_.wpe  # transformers calls it, with positions
positions

# Protocols: stated for the type checker and the reader.
Verb

# Fields that are written to JSON as a whole.
leaked_bytes
for_step
spent_seconds
_.spent_seconds
predicted_peak_bytes
outputs_dir

# For programs that import us, the benchmarks and the tests.
sentences  # of a whole text, as the tests have it
Master
_.onto
_.measure_context
_.predict
_.expect
_.vram_stats
_.from_json
_.mono
sentences  # a whole text at once: the tests hold the flowing form against it
_._net  # holds the network alive

# Settings that are read and checked, and wait for the nodes that give them effect.
lm_default
tiled_decode
music_limits
