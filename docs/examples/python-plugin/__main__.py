"""A Chandler plugin in Python: an instance is a directory, a binding a password.

Needs Debian's python3-grpcio and python3-protobuf, and plugin_pb2.py beside it, which
is made by `protoc --python_out=. plugin.proto`.
"""
import hashlib, hmac, json, os, shutil, signal, sys, tempfile, threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import plugin_pb2 as pb

STRING = {"type": "string"}
PROVISION = {"type": "object", "additionalProperties": False, "required": ["title"],
             "properties": {"title": {"type": "string", "minLength": 1}}}
BIND = {"type": "object", "additionalProperties": False, "properties": {}}
INSTANCE_OUTPUTS = {"type": "object", "required": ["path"], "properties": {"path": STRING}}
BINDING_OUTPUTS = {"type": "object", "required": ["path", "password"], "properties": {
    "path": STRING, "password": {"type": "string", "writeOnly": True}}}


class Refused(Exception):
    """An error that the broker understands."""

    def __init__(self, code, message, pointer=""):
        super().__init__(message)
        self.event = pb.Event(error=pb.Error(code=code, message=message, pointer=pointer))


def done(**outputs):
    return pb.Event(done=pb.Done(outputs=json.dumps(outputs).encode() if outputs else b""))


def key(text):
    """A name for an id, which may hold any character."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def secret(seed, name):
    """Derived from the seed, so that a repeated call of the operation gives the same."""
    return hmac.new(seed, name.encode(), hashlib.sha256).hexdigest()


def check(inputs, schema):
    """Says where inputs break the schema; these schemas know only texts."""
    for name, value in inputs.items():
        if name not in schema["properties"]:
            raise Refused(pb.Error.CODE_INVALID_INPUT, f"The input {name} is not known.", "/" + name)
        if not isinstance(value, str) or not value:
            raise Refused(pb.Error.CODE_INVALID_INPUT, f"The input {name} must be a text.", "/" + name)
    for name in schema.get("required", []):
        if name not in inputs:
            raise Refused(pb.Error.CODE_INVALID_INPUT, f"The input {name} is missing.", "/" + name)


def write(path, content):
    """Whole or not at all: a call may be killed at any moment."""
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), delete=False) as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    os.replace(f.name, path)


class Notes:
    """The verbs. Each may be called again with the same id at any time."""

    directory = None

    def configure(self, request, context):
        if json.loads(request.config or b"{}"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "this plugin takes no configuration")
        if not request.data_directory:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the broker gave no data directory")
        self.directory = request.data_directory
        return pb.ConfigureResponse()

    def path(self, request):
        return os.path.join(self.directory, key(request.instance_id))

    def provision(self, request, cancelled):
        inputs = json.loads(request.inputs)
        check(inputs, PROVISION)
        yield pb.Event(progress=pb.Progress(text="making the directory", percent=50))
        os.makedirs(self.path(request), mode=0o700, exist_ok=True)
        if cancelled.is_set():
            return
        write(os.path.join(self.path(request), "title"), inputs["title"])
        yield done(path=self.path(request))

    update = provision

    def deprovision(self, request, cancelled):
        shutil.rmtree(self.path(request), ignore_errors=True)
        if os.path.exists(self.path(request)):
            raise Refused(pb.Error.CODE_UNAVAILABLE, "The directory could not be removed.")
        yield done()

    def bind(self, request, cancelled):
        check(json.loads(request.inputs), BIND)
        if not os.path.isdir(self.path(request)):
            raise Refused(pb.Error.CODE_FAILED, "The directory does not exist any more.")
        password = secret(request.seed, "password")
        write(os.path.join(self.path(request), key(request.binding_id)), hashlib.sha256(password.encode()).hexdigest())
        yield done(path=self.path(request), password=password)

    def unbind(self, request, cancelled):
        try:
            os.remove(os.path.join(self.path(request), key(request.binding_id)))
        except FileNotFoundError:
            pass
        yield done()


class Calls:
    """Running verbs by call_id, so that Cancel finds them."""

    def __init__(self):
        self.lock, self.running, self.early = threading.Lock(), {}, []

    def begin(self, call_id):
        with self.lock:
            cancelled = self.running[call_id] = threading.Event()
            if call_id in self.early:  # Cancel came before the call
                cancelled.set()
            return cancelled

    def end(self, call_id):
        with self.lock:
            self.running.pop(call_id, None)

    def cancel(self, request, context):
        with self.lock:
            if request.call_id in self.running:
                self.running[request.call_id].set()
            else:
                self.early = self.early[-1000:] + [request.call_id]
        return pb.CancelResponse()

    def verb(self, method):
        """Turns a verb into a gRPC handler: one last event, or a status."""
        def handle(request, context):
            cancelled = self.begin(request.call_id)
            try:
                last = None
                for last in method(request, cancelled):
                    yield last
                if last is None or last.HasField("progress"):
                    context.abort(grpc.StatusCode.CANCELLED, "the call was cancelled")
            except Refused as refused:
                yield refused.event
            except OSError as error:  # no space, read-only, …: worth another try
                yield pb.Event(error=pb.Error(code=pb.Error.CODE_UNAVAILABLE, message="The directory cannot be used now.", detail=str(error)))
            finally:
                self.end(request.call_id)
        return handle


def describe(request, context):
    return pb.DescribeResponse(
        name="notes", version="1.0.0", isolated=True,
        provision_inputs_schema=json.dumps(PROVISION).encode(), bind_inputs_schema=json.dumps(BIND).encode(),
        instance_outputs_schema=json.dumps(INSTANCE_OUTPUTS).encode(), binding_outputs_schema=json.dumps(BINDING_OUTPUTS).encode())


def handlers(notes, stopped):
    """The method tables that grpc_tools would generate."""
    calls = Calls()

    def unary(method, request, response):
        return grpc.unary_unary_rpc_method_handler(method, request.FromString, response.SerializeToString)

    def stream(method, request):
        return grpc.unary_stream_rpc_method_handler(calls.verb(method), request.FromString, pb.Event.SerializeToString)

    def shutdown(request, context):
        stopped.set()
        return b""

    return (
        grpc.method_handlers_generic_handler("chandler.plugin.v1.Plugin", {
            "Describe": unary(describe, pb.DescribeRequest, pb.DescribeResponse),
            "Configure": unary(notes.configure, pb.ConfigureRequest, pb.ConfigureResponse),
            "Provision": stream(notes.provision, pb.InstanceRequest),
            "Update": stream(notes.update, pb.InstanceRequest),
            "Deprovision": stream(notes.deprovision, pb.InstanceRequest),
            "Bind": stream(notes.bind, pb.BindingRequest),
            "Unbind": stream(notes.unbind, pb.BindingRequest),
            "Cancel": unary(calls.cancel, pb.CancelRequest, pb.CancelResponse),
            "Health": unary(lambda request, context: pb.HealthResponse(), pb.HealthRequest, pb.HealthResponse),
        }),
        # go-plugin asks for the end in this way; both messages are empty.
        grpc.method_handlers_generic_handler("plugin.GRPCController", {
            "Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)}),
    )


def watch_lifeline():
    """Ends the process, and all that it started, when the broker is gone, whatever ended it."""
    fd = os.environ.pop("CHANDLER_LIFELINE_FD", None)
    if fd is None:
        return

    def watch():
        while os.read(int(fd), 1):
            pass
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


def main():
    if os.environ.get("CHANDLER_PLUGIN") != "chandler-supplies-ships":
        sys.exit("This is a plugin of the Chandler service broker, which starts it.")
    stopped = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to children too
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    watch_lifeline()
    server = grpc.server(ThreadPoolExecutor(max_workers=32), handlers=handlers(Notes(), stopped), options=[
        ("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)])
    socket = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin")
    server.add_insecure_port("unix:" + socket)
    server.start()
    print(f"1|1|unix|{socket}|grpc", flush=True)
    while not stopped.wait(1):  # with a time-out, so that signals are seen
        pass
    server.stop(grace=10).wait()


main()
