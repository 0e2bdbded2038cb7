/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A process that carries a VM from host to host: carrier_protocol.h. */
#include "common/base/isolate.h"
#include "vmms/carrier/program/calls.h"
#include "vmms/carrier/program/relay.h"
#include "vmms/carrier/program/welcome.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS_MAX 3600
#define WORDS_MAX   256

/* By one call, and no other: stdio looks first what it writes to. */
static void carrier_say(const char *line, const char *rest)
{
	char text[WORDS_MAX];
	int size = snprintf(text, sizeof(text), "%s%s\n", line, rest);

	(void)!write(STDOUT_FILENO, text, (size_t)size);
}

_Noreturn static void carrier_fail(const char *what, int error)
{
	carrier_say(what, strerror(-error));
	_exit(1);
}

/* Before anything is looked at that comes from somewhere else. */
static void carrier_shut_in(void)
{
	int error, r = tls_prepare();

	if (r < 0)
		carrier_fail("GnuTLS cannot be used: ", r);
	r = isolate_process(ISOLATE_SAME_USER, &error);
	if (r == ISOLATE_E_USER || r == ISOLATE_E_PRIVILEGES)
		carrier_fail("its privileges cannot be given up: ", error);
	if (r == ISOLATE_E_NAMESPACES)
		carrier_fail("this host gives it no namespaces: ", error);
	r = calls_limit();
	if (r < 0)
		carrier_fail("its system calls cannot be limited: ", r);
}

static int carrier_take_key(uint8_t key[static CARRIER_KEY_SIZE])
{
	size_t size = 0;

	while (size < CARRIER_KEY_SIZE) {
		ssize_t r = read(CARRIER_KEY, key + size, CARRIER_KEY_SIZE - size);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -ECANCELED;
		size += (size_t)r;
	}
	return 0;
}

static const char *carrier_explain(int error)
{
	return error == -ETIMEDOUT ? "the other side did not come in time"
	       : error == -EPROTO  ? "the other side does not have the key of this move"
				   : strerror(-error);
}

static struct tls *carrier_find_other_side(bool listens, unsigned seconds)
{
	uint8_t key[CARRIER_KEY_SIZE];
	struct welcome welcome = { .network = CARRIER_NETWORK,
				   .daemon = CARRIER_KEY,
				   .until = welcome_now() + seconds * 1000000000ull,
				   .key = key };
	struct tls *tls;
	int r = carrier_take_key(key);

	if (r == 0)
		r = listens ? welcome_listen(&welcome, &tls) : welcome_connect(&welcome, &tls);
	explicit_bzero(key, sizeof(key));
	if (r < 0) {
		carrier_say(carrier_explain(r), "");
		_exit(1);
	}
	return tls;
}

int main(int argc, char *argv[])
{
	bool listens = argc == 3 && strcmp(argv[1], "listen") == 0;
	unsigned long seconds = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	struct tls *tls;
	int r = 0;

	if (seconds == 0 || seconds > SECONDS_MAX ||
	    (!listens && strcmp(argv[1], "connect") != 0)) {
		fputs("usage: move-carrier connect|listen SECONDS; vmms starts it\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	carrier_shut_in();
	tls = carrier_find_other_side(listens, (unsigned)seconds);
	carrier_say(CARRIER_CONNECTED, "");
	if (listens) {
		r = relay_wait(tls, CARRIER_STREAM, CARRIER_KEY);
		if (r == 0)
			carrier_say(CARRIER_BEGUN, "");
	}
	if (r == 0)
		r = relay_run(tls, CARRIER_STREAM);
	if (r < 0)
		carrier_fail("the connection has ended: ", r);
	tls_free(tls);
	return 0;
}
