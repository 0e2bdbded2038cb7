/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Heads of HTTP requests: good, bad, hostile, and cut at every byte; and labels of metrics. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/metrics/http_request.h"
#include "vmms/metrics/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define END    "\r\n\r\n"
#define HOST   "\r\nHost: x" END
#define TARGET "GET /metrics HTTP/1.1"

static const struct {
	enum http_status status;
	const char *text;
} cases[] = {
	{ HTTP_OK, TARGET HOST },
	{ HTTP_OK, TARGET "\r\nhOsT:x" END },
	{ HTTP_OK, TARGET "\r\nHost:\tx \t" END },
	{ HTTP_OK, TARGET "\r\nHost:" END },
	{ HTTP_OK, TARGET "\r\nA: \xff\x80" HOST },
	{ HTTP_OK, TARGET "\r\nContent-Length: 0" HOST },
	{ HTTP_OK, "GET /metrics HTTP/1.9" HOST },
	{ HTTP_OK, "GET /metrics HTTP/1.0" END },
	{ HTTP_OK, TARGET HOST "GET what follows" },
	{ HTTP_BAD_REQUEST, TARGET END },
	{ HTTP_BAD_REQUEST, TARGET "\r\nHost: a\r\nHost: b" END },
	{ HTTP_BAD_REQUEST, TARGET "\r\nHost : a" END },
	{ HTTP_BAD_REQUEST, TARGET "\r\n folded: x" HOST },
	{ HTTP_BAD_REQUEST, TARGET "\r\nnothing" HOST },
	{ HTTP_BAD_REQUEST, TARGET "\r\n: empty" HOST },
	{ HTTP_BAD_REQUEST, TARGET "\r\nA: b\nC: d" HOST },
	{ HTTP_BAD_REQUEST, TARGET "\r\nA: b\rC: d" HOST },
	{ HTTP_BAD_REQUEST, TARGET "\r\nA: \x7f" HOST },
	{ HTTP_BAD_REQUEST, TARGET "\r\nContent-Length: 5" HOST },
	{ HTTP_BAD_REQUEST, TARGET "\r\ntransfer-encoding: chunked" HOST },
	{ HTTP_BAD_REQUEST, "GET  /metrics HTTP/1.1" HOST },
	{ HTTP_BAD_REQUEST, "GET /metrics  HTTP/1.1" HOST },
	{ HTTP_BAD_REQUEST, " GET /metrics HTTP/1.1" HOST },
	{ HTTP_BAD_REQUEST, "GET /metrics" HOST },
	{ HTTP_BAD_REQUEST, "GET /metrics HTTP/1.10" HOST },
	{ HTTP_BAD_REQUEST, "GET /metrics http/1.1" HOST },
	{ HTTP_BAD_REQUEST, "GET /met\xc3\xa4 HTTP/1.1" HOST },
	{ HTTP_BAD_REQUEST, "G\"T /metrics HTTP/1.1" HOST },
	{ HTTP_BAD_REQUEST, "\r\n" TARGET HOST },
	{ HTTP_BAD_REQUEST, END },
	{ HTTP_METHOD_NOT_ALLOWED, "get /metrics HTTP/1.1" HOST },
	{ HTTP_METHOD_NOT_ALLOWED, "DELETE /metrics HTTP/1.1" HOST },
	{ HTTP_VERSION_NOT_SUPPORTED, "GET /metrics HTTP/2.0" HOST },
	{ HTTP_VERSION_NOT_SUPPORTED, "PRI * HTTP/2.0" END },
	{ HTTP_INCOMPLETE, "" },
	{ HTTP_INCOMPLETE, TARGET "\r\nHost: x\r\n" },
	{ HTTP_INCOMPLETE, TARGET "\n\nHost: x\n\n" },
};

/* Of bytes that end where their memory does, so that reading beyond them is noticed. */
static enum http_status parse(const char *text, size_t size, struct http_request *request)
{
	char *exact = malloc(size ? size : 1);
	enum http_status status;

	memcpy(exact, text, size);
	status = http_request_parse(exact, size, request);
	free(exact);
	return status;
}

static void test_cases(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_request request = { .path = "untouched" };
		enum http_status status = parse(cases[i].text, strlen(cases[i].text), &request);

		if (status != cases[i].status)
			fail_msg("%d for: %s", status, cases[i].text);
		assert_string_equal(request.path, status == HTTP_OK ? "/metrics" : "untouched");
		assert_string_not_equal(http_status_text(status), "");
	}
}

static void test_every_prefix(void **state)
{
	static const char text[] = TARGET "\r\nAccept: */*" HOST;
	struct http_request request;

	for (size_t size = 0; size < strlen(text); size++)
		assert_int_equal(parse(text, size, &request), HTTP_INCOMPLETE);
	assert_int_equal(parse(text, strlen(text), &request), HTTP_OK);
	assert_string_equal(request.host, "x");
}

static void test_nul(void **state)
{
	static const char text[] = "GET /metrics\0 HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char field[] = "GET /metrics HTTP/1.1\r\nHost: x\0y\r\n\r\n";
	struct http_request request;

	assert_int_equal(parse(text, sizeof(text) - 1, &request), HTTP_BAD_REQUEST);
	assert_int_equal(parse(field, sizeof(field) - 1, &request), HTTP_BAD_REQUEST);
}

static void test_sizes(void **state)
{
	char text[2 * HTTP_REQUEST_MAX];
	struct http_request request;

	memset(text, 'x', sizeof(text));
	assert_int_equal(parse(text, HTTP_REQUEST_MAX - 1, &request), HTTP_INCOMPLETE);
	assert_int_equal(parse(text, HTTP_REQUEST_MAX, &request), HTTP_HEADER_TOO_LARGE);
	assert_int_equal(parse(text, sizeof(text), &request), HTTP_HEADER_TOO_LARGE);
	/* An end that comes too late is none. */
	memcpy(text, TARGET "\r\nA: ", strlen(TARGET "\r\nA: "));
	memcpy(text + HTTP_REQUEST_MAX, HOST, strlen(HOST));
	assert_int_equal(parse(text, sizeof(text), &request), HTTP_HEADER_TOO_LARGE);
	memcpy(text + HTTP_REQUEST_MAX - strlen(HOST), HOST, strlen(HOST));
	assert_int_equal(parse(text, sizeof(text), &request), HTTP_OK);
}

static void test_long_texts(void **state)
{
	char text[1024];
	struct http_request request;

	for (size_t size = HTTP_TEXT_MAX - 2; size < HTTP_TEXT_MAX + 2; size++) {
		char x[HTTP_TEXT_MAX + 2] = "";

		memset(x, 'x', size);
		snprintf(text, sizeof(text), "GET %s HTTP/1.1" HOST, x);
		assert_int_equal(parse(text, strlen(text), &request),
				 size < HTTP_TEXT_MAX ? HTTP_OK : HTTP_URI_TOO_LONG);
		snprintf(text, sizeof(text), TARGET "\r\nHost: %s" END, x);
		assert_int_equal(parse(text, strlen(text), &request),
				 size < HTTP_TEXT_MAX ? HTTP_OK : HTTP_BAD_REQUEST);
	}
}

static void test_query(void **state)
{
	static const char text[] = "GET /metrics?name[]=x?y HTTP/1.1" HOST;
	struct http_request request;

	assert_int_equal(parse(text, strlen(text), &request), HTTP_OK);
	assert_string_equal(request.path, "/metrics");
}

/* ---- Labels ---- */

static void test_labels(void **state)
{
	static const struct {
		const char *text, *escaped;
	} labels[] = {
		{ "plain", "plain" },
		{ "a\"b", "a\\\"b" },
		{ "a\nb", "a\\\\x0ab" },
		{ "a\\b", "a\\\\\\\\b" },
		{ "\x1b[2J", "\\\\x1b[2J" },
		{ "\xff", "\\\\xff" },
		{ "\xe2\x80\xae", "\\\\u202e" },
		{ "\xc3\xa4", "\xc3\xa4" },
	};
	char buffer[64];

	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		metrics_escape(buffer, sizeof(buffer), labels[i].text);
		assert_string_equal(buffer, labels[i].escaped);
	}
}

/* Cut at any size, no escape and no character is in halves. */
static void test_labels_are_cut(void **state)
{
	static const char text[] = "\"\\\n\xc3\xa4\"\\";
	char buffer[64];

	for (size_t size = 1; size < sizeof(buffer); size++) {
		size_t backslashes = 0, length;

		memset(buffer, '\\', sizeof(buffer));
		metrics_escape(buffer, size, text);
		length = strlen(buffer);
		assert_true(length < size);
		while (backslashes < length && buffer[length - 1 - backslashes] == '\\')
			backslashes++;
		assert_int_equal(backslashes % 2, 0);
		assert_true(length == 0 || buffer[length - 1] != '\xc3');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),      cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_nul),        cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_long_texts), cmocka_unit_test(test_query),
		cmocka_unit_test(test_labels),     cmocka_unit_test(test_labels_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
