"""A real SMTP server for tests. Prints its port, then a line of JSON for each mail that it took.

Arguments: tls (none, starttls or implicit), certificate and key (PEM), the user and the password that it asks for (both empty: nobody
signs in), the domain whose recipients it refuses, and where it listens, if not at 127.0.0.1."""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

tls, certificate, key, user, password, refused, address = (*sys.argv[1:], "127.0.0.1")[:7]


class Keep:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if refused and address.endswith("@" + refused):
            return f"550 no mailbox for {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": message["subject"],
            "text": message.get_content(),
            "encrypted": session.ssl is not None or tls == "implicit",
            "signedIn": bool(session.authenticated),
        }
        print(json.dumps(mail), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode())
    return AuthResult(success=right, handled=False)


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def server():
        return SMTP(
            Keep(),
            hostname="localhost",
            tls_context=context if tls == "starttls" else None,
            require_starttls=tls == "starttls",
            authenticator=authenticate if user else None,
            auth_required=bool(user),
            auth_require_tls=tls == "starttls",
        )

    listening = await asyncio.get_running_loop().create_server(
        server, address, 0, ssl=context if tls == "implicit" else None
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    # The test closes standard input when it is over.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
