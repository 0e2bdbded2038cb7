/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TLS 1.3 with a key that both sides have, by GnuTLS. */
#include "vmms/carrier/program/tls.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The name under which the key is known: there is one. */
#define TLS_NAME "vmms"

/* No other version, no key without Diffie-Hellman, no cipher without authentication. */
#define TLS_PRIORITY                                                                       \
	"NONE:+VERS-TLS1.3:+ECDHE-PSK:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:+AEAD:" \
	"+GROUP-X25519:+GROUP-SECP256R1:+SIGN-ALL:+COMP-NULL"

struct tls {
	int socket;
	gnutls_session_t session;
	gnutls_psk_server_credentials_t server;
	gnutls_psk_client_credentials_t client;
	uint8_t key[CARRIER_KEY_SIZE];
};

int tls_prepare(void)
{
	return gnutls_global_init() == GNUTLS_E_SUCCESS ? 0 : -EIO;
}

/* Whoever comes under another name has no key. */
static int tls_find_key(gnutls_session_t session, const char *name, gnutls_datum_t *key)
{
	const struct tls *tls = gnutls_session_get_ptr(session);

	if (strcmp(name, TLS_NAME) != 0)
		return -1;
	key->data = gnutls_malloc(sizeof(tls->key));
	if (!key->data)
		return -1;
	memcpy(key->data, tls->key, sizeof(tls->key));
	key->size = sizeof(tls->key);
	return 0;
}

static int tls_set_server_key(struct tls *tls)
{
	int r = gnutls_psk_allocate_server_credentials(&tls->server);

	if (r < 0)
		return r;
	gnutls_psk_set_server_credentials_function(tls->server, tls_find_key);
	return gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK, tls->server);
}

static int tls_set_client_key(struct tls *tls)
{
	const gnutls_datum_t key = { .data = tls->key, .size = sizeof(tls->key) };
	int r = gnutls_psk_allocate_client_credentials(&tls->client);

	if (r >= 0)
		r = gnutls_psk_set_client_credentials(tls->client, TLS_NAME, &key,
						      GNUTLS_PSK_KEY_RAW);
	return r < 0 ? r : gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK, tls->client);
}

static int tls_set_up(struct tls *tls, bool server)
{
	unsigned flags = GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL;
	int r = gnutls_init(&tls->session, flags | (server ? GNUTLS_SERVER : GNUTLS_CLIENT));

	if (r < 0)
		return r;
	gnutls_session_set_ptr(tls->session, tls);
	gnutls_transport_set_int(tls->session, tls->socket);
	gnutls_handshake_set_timeout(tls->session, 0); /* ours to keep */
	r = gnutls_priority_set_direct(tls->session, TLS_PRIORITY, NULL);
	if (r < 0)
		return r;
	return server ? tls_set_server_key(tls) : tls_set_client_key(tls);
}

int tls_new(int socket, bool server, const uint8_t key[static CARRIER_KEY_SIZE],
	    struct tls **ret_tls)
{
	struct tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return -ENOMEM;
	tls->socket = socket;
	memcpy(tls->key, key, sizeof(tls->key));
	if (tls_set_up(tls, server) < 0) {
		tls->socket = -1;
		tls_free(tls);
		return -ENOMEM;
	}
	*ret_tls = tls;
	return 0;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	if (tls->session)
		gnutls_deinit(tls->session);
	if (tls->server)
		gnutls_psk_free_server_credentials(tls->server);
	if (tls->client)
		gnutls_psk_free_client_credentials(tls->client);
	if (tls->socket >= 0)
		close(tls->socket);
	explicit_bzero(tls, sizeof(*tls));
	free(tls);
}

int tls_socket(const struct tls *tls)
{
	return tls->socket;
}

short tls_waits_for(const struct tls *tls)
{
	return gnutls_record_get_direction(tls->session) ? POLLOUT : POLLIN;
}

/* What GnuTLS says, as ours. */
static int tls_error(ssize_t r)
{
	switch (r) {
	case GNUTLS_E_AGAIN:
	case GNUTLS_E_INTERRUPTED:
		return -EAGAIN;
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return -ECONNRESET;
	case GNUTLS_E_MEMORY_ERROR:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

int tls_shake_hands(struct tls *tls)
{
	int r = gnutls_handshake(tls->session);

	/* It goes on after alerts that are warnings, of which TLS 1.3 has none to be minded. */
	if (r == GNUTLS_E_WARNING_ALERT_RECEIVED)
		return -EPROTO;
	if (r < 0 && gnutls_error_is_fatal(r))
		(void)gnutls_alert_send_appropriate(tls->session, r);
	if (r < 0)
		return tls_error(r);
	explicit_bzero(tls->key, sizeof(tls->key));
	return 0;
}

bool tls_has_more(const struct tls *tls)
{
	return gnutls_record_check_pending(tls->session) > 0;
}

ssize_t tls_read(struct tls *tls, void *bytes, size_t size)
{
	ssize_t r = gnutls_record_recv(tls->session, bytes, size);

	return r < 0 ? tls_error(r) : r;
}

ssize_t tls_write(struct tls *tls, const void *bytes, size_t size)
{
	ssize_t r = gnutls_record_send(tls->session, bytes, size);

	return r < 0 ? tls_error(r) : r;
}

int tls_end(struct tls *tls)
{
	int r = gnutls_bye(tls->session, GNUTLS_SHUT_WR);

	return r < 0 ? tls_error(r) : 0;
}
