/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Heads of HTTP requests: any bytes. What is taken is taken at no shorter size, and what came after
 * it changes nothing.
 */
#include "vmms/metrics/http_request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request request = { .path = "" }, again = { .path = "" };
	enum http_status status = http_request_parse((const char *)data, size, &request), first;
	size_t whole = size;

	if (status == HTTP_INCOMPLETE || status == HTTP_HEADER_TOO_LARGE)
		return 0;
	/* The shortest size at which there is an answer has the same one. */
	while (whole > 0 && http_request_parse((const char *)data, whole - 1, &again) != 0)
		whole--;
	first = http_request_parse((const char *)data, whole, &again);
	if (first != status || strlen(request.path) >= HTTP_TEXT_MAX ||
	    (status == HTTP_OK &&
	     (strcmp(request.path, again.path) != 0 || strcmp(request.host, again.host) != 0 ||
	      strchr(request.path, '?'))))
		abort();
	return 0;
}
