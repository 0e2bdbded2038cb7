/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The head of an HTTP/1.1 request (RFC 9110, RFC 9112), as far as a server needs it that has GET
 * alone and answers one request per connection.
 *
 * Strict: what the RFCs let a server refuse is refused. Nothing is allocated.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>

#define HTTP_REQUEST_MAX 4096 /* bytes of a head */
#define HTTP_TEXT_MAX    256

enum http_status {
	HTTP_INCOMPLETE = 0, /* more bytes are needed */
	HTTP_OK = 200,
	HTTP_BAD_REQUEST = 400,
	HTTP_FORBIDDEN = 403,
	HTTP_NOT_FOUND = 404,
	HTTP_METHOD_NOT_ALLOWED = 405,
	HTTP_URI_TOO_LONG = 414,
	HTTP_HEADER_TOO_LARGE = 431,
	HTTP_UNAVAILABLE = 503,
	HTTP_VERSION_NOT_SUPPORTED = 505,
};

struct http_request {
	char path[HTTP_TEXT_MAX]; /* without what follows a question mark */
	char host[HTTP_TEXT_MAX]; /* as sent; "": none, which HTTP/1.0 allows */
};

/*
 * Reads what has come so far. *ret_request is filled if HTTP_OK is returned. A head that has come
 * to HTTP_REQUEST_MAX bytes without its end is too large.
 */
enum http_status http_request_parse(const char *bytes, size_t size,
				    struct http_request *ret_request) MUST_CHECK;

/* "Not Found". */
const char *http_status_text(enum http_status status);
