"""Ctrl-C interrupts, whatever was loaded and let go of before: a process that takes SIGINT for a crash loses its work.

Each in a process of its own, as a wrong one would take the tests with it.
"""

import subprocess
import sys
import textwrap

import pytest

from hand_bundle import write_hand_bundle

INTERRUPTED = """
    import os, signal, time
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except KeyboardInterrupt:
        print("interrupted")
"""
TWO_MODELS = """
    from shelfwise.bundle import Bundle
    first, second = Bundle.load({path!r}).encoder, Bundle.load({path!r}).encoder
    first.encode_queries(["mug"]), second.encode_queries(["mug"])
    del first
    del second
"""
OTHER_THREAD = """
    import threading
    from shelfwise.bundle import Bundle
    loaded = [Bundle.load({path!r}).encoder]
    letting_go = threading.Thread(target=loaded.clear)
    letting_go.start(), letting_go.join()
"""
QUANTIZED = """
    from shelfwise.bundle import Bundle
    from shelfwise_indexer.quantization import quantize
    bundle = Bundle.load({path!r})
    bundle.encoder
    quantize(bundle, list(bundle.encoder.document_inputs(["mug", "a green mug"])), spared=False)
"""


@pytest.mark.parametrize("loaded", [TWO_MODELS, OTHER_THREAD, QUANTIZED], ids=["two", "other-thread", "quantized"])
def test_ctrl_c_interrupts_after_models_were_let_go_of(loaded, tmp_path):
    bundle = write_hand_bundle(tmp_path / "bundle", {"mug": (1.0, 0.0), "green": (0.0, 1.0)})
    program = textwrap.dedent(loaded).format(path=str(bundle.path)) + textwrap.dedent(INTERRUPTED)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert (run.returncode, run.stdout) == (0, "interrupted\n"), run.stderr


def test_a_scheduler_that_ends_a_command_interrupts_it():
    program = """
        import os, signal, sys, time
        from shelfwise import cli, start
        @cli.main.command()
        def wait():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)
            finally:
                print("the end")
        sys.argv = ["shelfwise", "wait"]
        start.main()
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (130, "the end\n")
    assert ran.stderr.startswith("shelfwise: interrupted; ")


def test_an_interruption_while_the_command_line_loads_is_one_line():
    program = """
        import sys
        class Interrupting:
            def find_spec(self, name, path=None, target=None):
                if name == "click":
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Interrupting())
        from shelfwise.start import main
        main()
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, b"", b"shelfwise: interrupted\n")
