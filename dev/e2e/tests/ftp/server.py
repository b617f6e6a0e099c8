"""An FTP server that serves one client after the other one file: active and passive, old commands and extended ones."""
import socket
import sys

CONTENT = b"0123456789abcdef" * 4096


def listen(family):
    listener = socket.socket(family)
    listener.bind((sys.argv[1], 0))
    listener.listen(1)
    return listener


def serve(control):
    lines = control.makefile("rb")
    reply = lambda text: control.sendall(text.encode() + b"\r\n")
    open_data = None
    reply("220 ready")
    for line in lines:
        verb, _, argument = line.decode().strip().partition(" ")
        if verb == "PASV":
            listener = listen(control.family)
            host, port = listener.getsockname()[:2]
            open_data = lambda: listener.accept()[0]
            reply("227 Entering Passive Mode (%s,%d,%d)." % (host.replace(".", ","), port >> 8, port & 255))
        elif verb == "EPSV":
            listener = listen(control.family)
            open_data = lambda: listener.accept()[0]
            reply("229 Entering Extended Passive Mode (|||%d|)" % listener.getsockname()[1])
        elif verb in ("PORT", "EPRT"):
            if verb == "PORT":
                numbers = argument.split(",")
                target = ".".join(numbers[:4]), int(numbers[4]) * 256 + int(numbers[5])
            else:
                _, _, host, port, _ = argument.split("|")
                target = host, int(port)
            # The peer must be who it is known to be.
            assert target[0] == control.getpeername()[0], (target, control.getpeername())
            open_data = lambda: socket.create_connection(target, timeout=10)
            reply("200 ok")
        elif verb == "RETR":
            reply("150 here it comes")
            with open_data() as data:
                data.sendall(CONTENT)
            reply("226 done")
        elif verb == "QUIT":
            reply("221 bye")
            return
        elif verb == "USER":
            reply("230 welcome")
        else:
            reply("200 ok")


family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family) as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((sys.argv[1], 21))
    listener.listen(4)
    print("ready", flush=True)
    while True:
        with listener.accept()[0] as control:
            serve(control)
