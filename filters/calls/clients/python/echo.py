"""The demo's runtime: gives back what it is given."""
from ts_filter_calls import serve


class Echo:
    def __init__(self, init):
        print(f"echo: loaded with {init}", flush=True)

    def echo(self, text):
        return text


serve({"echo": Echo})
