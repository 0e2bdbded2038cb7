/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of an HTTP/1.1 request. */
#include "vmms/metrics/http_request.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* A part of the head. */
struct span {
	const char *at;
	size_t size;
};

static const char token_characters[] = "!#$%&'*+-.^_`|~0123456789"
				       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static bool request_is_token(struct span span)
{
	for (size_t i = 0; i < span.size; i++)
		if (span.at[i] == '\0' || !strchr(token_characters, span.at[i]))
			return false;
	return span.size > 0;
}

static bool request_is_visible(struct span span)
{
	for (size_t i = 0; i < span.size; i++)
		if (span.at[i] <= ' ' || span.at[i] > '~')
			return false;
	return span.size > 0;
}

/* Field values may have blanks, and bytes beyond ASCII. */
static bool request_is_field_text(struct span span)
{
	for (size_t i = 0; i < span.size; i++) {
		unsigned char c = (unsigned char)span.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool request_span_is(struct span span, const char *text)
{
	return span.size == strlen(text) && memcmp(span.at, text, span.size) == 0;
}

static bool request_span_is_name(struct span span, const char *text)
{
	return span.size == strlen(text) && strncasecmp(span.at, text, span.size) == 0;
}

/* Takes what is before the separator, which has to be there, off the span. */
static bool request_span_split(struct span *span, const char *separator, struct span *ret_before)
{
	size_t length = strlen(separator);
	const char *found = memmem(span->at, span->size, separator, length);

	if (!found)
		return false;
	*ret_before = (struct span){ span->at, (size_t)(found - span->at) };
	span->size -= ret_before->size + length;
	span->at = found + length;
	return true;
}

static struct span request_span_trim(struct span span)
{
	while (span.size > 0 && (span.at[0] == ' ' || span.at[0] == '\t')) {
		span.at++;
		span.size--;
	}
	while (span.size > 0 && (span.at[span.size - 1] == ' ' || span.at[span.size - 1] == '\t'))
		span.size--;
	return span;
}

static bool request_span_copy(struct span span, char text[HTTP_TEXT_MAX])
{
	if (span.size >= HTTP_TEXT_MAX)
		return false;
	memcpy(text, span.at, span.size);
	text[span.size] = '\0';
	return true;
}

/* ---- The request line ---- */

static enum http_status request_read_version(struct span version, bool *ret_wants_host)
{
	if (version.size != strlen("HTTP/1.1") || memcmp(version.at, "HTTP/", 5) != 0 ||
	    version.at[6] != '.')
		return HTTP_BAD_REQUEST;
	*ret_wants_host = !request_span_is(version, "HTTP/1.0");
	return version.at[5] == '1' && version.at[7] >= '0' && version.at[7] <= '9'
		       ? HTTP_OK
		       : HTTP_VERSION_NOT_SUPPORTED;
}

static enum http_status request_read_line(struct span line, struct http_request *request,
					  bool *ret_wants_host)
{
	struct span method, target, path;
	enum http_status status;

	if (!request_span_split(&line, " ", &method) || !request_span_split(&line, " ", &target) ||
	    !request_is_token(method) || !request_is_visible(target))
		return HTTP_BAD_REQUEST;
	status = request_read_version(line, ret_wants_host);
	if (status != HTTP_OK)
		return status;
	if (!request_span_is(method, "GET"))
		return HTTP_METHOD_NOT_ALLOWED;
	path = target;
	(void)request_span_split(&target, "?", &path);
	return request_span_copy(path, request->path) ? HTTP_OK : HTTP_URI_TOO_LONG;
}

/* ---- Fields ---- */

/*
 * A request with a body is none that could be for us, and what follows it would be taken for more.
 */
static bool request_has_body(struct span name, struct span value)
{
	return request_span_is_name(name, "Transfer-Encoding") ||
	       (request_span_is_name(name, "Content-Length") && !request_span_is(value, "0"));
}

static enum http_status request_read_field(struct span line, struct http_request *request,
					   unsigned *host_count)
{
	struct span name, value;

	if (!request_span_split(&line, ":", &name) || !request_is_token(name) ||
	    !request_is_field_text(line))
		return HTTP_BAD_REQUEST;
	value = request_span_trim(line);
	if (request_has_body(name, value))
		return HTTP_BAD_REQUEST;
	if (!request_span_is_name(name, "Host"))
		return HTTP_OK;
	if (++*host_count > 1 || !request_span_copy(value, request->host))
		return HTTP_BAD_REQUEST;
	return HTTP_OK;
}

static enum http_status request_read_head(struct span head, struct http_request *request)
{
	unsigned host_count = 0;
	bool wants_host = false;
	enum http_status status;
	struct span line;

	if (!request_span_split(&head, "\r\n", &line))
		return HTTP_BAD_REQUEST;
	status = request_read_line(line, request, &wants_host);
	while (status == HTTP_OK && head.size > 0) {
		if (!request_span_split(&head, "\r\n", &line))
			return HTTP_BAD_REQUEST;
		status = request_read_field(line, request, &host_count);
	}
	return status == HTTP_OK && wants_host && host_count == 0 ? HTTP_BAD_REQUEST : status;
}

enum http_status http_request_parse(const char *bytes, size_t size,
				    struct http_request *ret_request)
{
	struct http_request request = { .path = "" };
	struct span rest = { bytes, MIN(size, (size_t)HTTP_REQUEST_MAX) }, head;
	enum http_status status;

	if (!request_span_split(&rest, "\r\n\r\n", &head))
		return size < HTTP_REQUEST_MAX ? HTTP_INCOMPLETE : HTTP_HEADER_TOO_LARGE;
	head.size += strlen("\r\n"); /* of its last line */
	status = request_read_head(head, &request);
	if (status == HTTP_OK)
		*ret_request = request;
	return status;
}

const char *http_status_text(enum http_status status)
{
	switch (status) {
	case HTTP_OK:
		return "OK";
	case HTTP_FORBIDDEN:
		return "Forbidden";
	case HTTP_NOT_FOUND:
		return "Not Found";
	case HTTP_METHOD_NOT_ALLOWED:
		return "Method Not Allowed";
	case HTTP_URI_TOO_LONG:
		return "URI Too Long";
	case HTTP_HEADER_TOO_LARGE:
		return "Request Header Fields Too Large";
	case HTTP_UNAVAILABLE:
		return "Service Unavailable";
	case HTTP_VERSION_NOT_SUPPORTED:
		return "HTTP Version Not Supported";
	case HTTP_INCOMPLETE:
	case HTTP_BAD_REQUEST:
		break;
	}
	return "Bad Request";
}
