"""Fetches the file several times over one control connection: active or passive, as said."""
import ftplib
import sys

server, how = sys.argv[1:]
with ftplib.FTP() as ftp:
    ftp.connect(server, 21, timeout=10)
    ftp.login()
    ftp.set_pasv(how == "passive")
    for _ in range(3):
        got = []
        ftp.retrbinary("RETR file", got.append)
        assert b"".join(got) == b"0123456789abcdef" * 4096
        ftp.sendcmd("NOOP")
    ftp.quit()
