# Runs pieces of code one after the other in one namespace. Each comes on standard input as its length in bytes, a newline,
# and itself. After each, `MARK nonce : JSON MARK` is written to standard output, and `MARK nonce : MARK` to standard error.
def _run():
    import ast, json, linecache, os, signal, sys, traceback, types

    nonce = sys.argv[1]
    sys.argv = [""]
    control = os.fdopen(os.dup(0), "rb")
    outputs = [os.dup(1), os.dup(2)]
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.path.insert(0, "")
    module = types.ModuleType("__main__")
    module.__builtins__ = __builtins__
    sys.modules["__main__"] = module
    space = module.__dict__
    LONGEST_RESULT = 1 << 20

    # Text that can be told: not without bound, and without half characters.
    def clean(text):
        return text[:LONGEST_RESULT].encode("utf-8", "backslashreplace").decode()

    def write_all(fd, data):
        while data:
            data = data[os.write(fd, data):]

    def execute(source, name):
        lines = source.splitlines(True)
        linecache.cache[name] = (len(source), None, lines, name)
        tree = ast.parse(source, name)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        exec(compile(tree, name, "exec"), space)
        if last is None:
            return None
        value = eval(compile(last, name, "eval"), space)
        if value is None:
            return None
        space["_"] = value
        return clean(repr(value))

    number = 0
    while True:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        header = control.readline()
        if not header:
            return
        source = control.read(int(header)).decode("utf-8", "surrogateescape")
        number += 1
        if getattr(sys.stdin, "closed", True):
            # Python's exit() does that.
            sys.stdin = open(0, closefd=False)
        answer = {"exit_code": 0}
        try:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                answer["result"] = execute(source, f"<code {number}>")
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        except SystemExit as error:
            code = error.code
            answer["exit_code"] = code & 255 if isinstance(code, int) else 0 if code is None else 1
            if code is not None and not isinstance(code, int):
                print(code, file=sys.stderr)
        except BaseException as error:
            kind = type(error)
            trace = error.__traceback__
            while trace is not None and not trace.tb_frame.f_code.co_filename.startswith("<code "):
                trace = trace.tb_next
            try:
                text = "".join(traceback.format_exception(kind, error.with_traceback(trace), trace))
                message = str(error)
            except BaseException as other:
                text, message = f"{kind.__name__} (and {type(other).__name__} when it was printed)\n", ""
            answer["exit_code"] = 1
            answer["exception"] = {"name": clean(kind.__name__), "message": clean(message), "traceback": clean(text)}
            try:
                sys.stderr.write(text)
            except BaseException:
                pass
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BaseException:
                pass
        payload = json.dumps(answer).encode()
        write_all(outputs[0], b"\x1e" + nonce.encode() + b":" + payload + b"\x1e")
        write_all(outputs[1], b"\x1e" + nonce.encode() + b":\x1e")


_run()
