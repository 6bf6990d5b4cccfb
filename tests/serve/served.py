"""A "bitloom serve" of the demo model with a chat template, for tests."""
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

TEMPLATE = ("{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}assistant:{% endif %}")


class Served:
    """url: where it listens."""

    def __init__(self, program, *flags):
        self.directory = tempfile.TemporaryDirectory(prefix="bitloom-serve-")
        model = pathlib.Path(self.directory.name) / "demo"
        shutil.copytree("assets/demo", model)
        (model / "chat_template.jinja").write_text(TEMPLATE)
        self.process = subprocess.Popen([program, "serve", str(model), "--port", "0", *flags], stderr=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, text=True)
        found = None
        while not found:
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError("the server ended")
            found = re.search(r"at (http://\S+?)/v1", line)
        self.url = found[1]

    def end(self):
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        self.directory.cleanup()
