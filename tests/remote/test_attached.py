"""An operator attached by sys.remote_exec to a process that serves no socket: serving.attach()."""

from processes import run


def test_serve_opens_a_socket_beside_an_attached_operator():
    run(
        """
        import tempfile
        from jumplabel import serve
        from jumplabel._remote import serving
        from operators import ask, lines, request, rest, wait_for
        import socket

        key = StaticKey("key")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(home.name + "/operator")
        listener.listen(1)
        threading.Thread(target=serving.attach, args=(home.name + "/operator",)).start()
        operator, _ = listener.accept()
        wait_for(lambda: serving._servers)
        (attached,) = serving._servers
        for folder in (None, home.name + "/sockets"):
            with serve(folder) as server:
                assert server is not attached and serve(folder) is server
                assert os.path.exists(server.path) and ask(server.path, "keys")[0]["key"] == "key"
        operator.sendall(request("enable", "key"))
        assert lines(rest(operator))[0]["outcome"] == "changed" and key.enabled
        wait_for(lambda: not serving._servers)
        """,
        first="""
        import os, tempfile
        home = tempfile.TemporaryDirectory()
        os.environ["XDG_RUNTIME_DIR"] = home.name
        """,
    )
