/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host that a command is about. */
#include "vmms/vmctl/remote_host.h"

#include "common/base/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LETTERS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS      "0123456789"
#define FIRST       LETTERS DIGITS "_" /* of a name */
#define USER_MAX    64                 /* bytes */
#define HOST_MAX    253                /* likewise: DNS has no longer names */
#define PORT_LENGTH 5                  /* digits */

/* It is made of these characters, and not empty. */
static bool host_consists_of(const char *text, size_t length, const char *characters)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\0' || !strchr(characters, text[i]))
			return false;
	}
	return length > 0;
}

static bool host_is_user(const char *text, size_t length)
{
	return length <= USER_MAX && host_consists_of(text, length, FIRST ".+@-") &&
	       strchr(FIRST, text[0]);
}

static bool host_is_name(const char *text, size_t length)
{
	return length <= HOST_MAX && host_consists_of(text, length, FIRST ".-") &&
	       strchr(FIRST, text[0]);
}

/* Roughly one of IPv6, perhaps with the name of an interface behind %. */
static bool host_is_address(const char *text, size_t length)
{
	const char *zone = memchr(text, '%', length);
	size_t size = zone ? (size_t)(zone - text) : length;

	return size <= HOST_MAX && host_consists_of(text, size, DIGITS "abcdefABCDEF:.") &&
	       (!zone || host_is_name(zone + 1, length - size - 1));
}

static bool host_is_port(const char *text)
{
	uint64_t port;

	return strlen(text) <= PORT_LENGTH && host_consists_of(text, strlen(text), DIGITS) &&
	       parse_unsigned(text, 1, UINT16_MAX, &port) == 0;
}

/* The host's part. *ret_length: of the host, which begins at *ret_host; *ret_port: "": none. */
static bool host_split(const char *text, const char **ret_host, size_t *ret_length,
		       const char **ret_port)
{
	const char *first = strchr(text, ':'), *end;
	bool bracket = text[0] == '[';
	bool address = bracket || (first && strchr(first + 1, ':'));

	end = bracket ? strchr(text, ']') : first && !address ? first : text + strlen(text);
	if (!end)
		return false;
	*ret_host = text + bracket;
	*ret_length = (size_t)(end - *ret_host);
	end += bracket;
	*ret_port = *end == ':' ? end + 1 : end;
	return (*end == '\0' || (*end == ':' && host_is_port(*ret_port))) &&
	       (address ? host_is_address(*ret_host, *ret_length)
			: host_is_name(*ret_host, *ret_length));
}

int remote_host_parse(const char *text, struct remote_host *ret_host)
{
	const char *at = strrchr(text, '@'), *host, *port;
	size_t user = at ? (size_t)(at - text) : 0, length;

	if ((at && !host_is_user(text, user)) ||
	    !host_split(at ? at + 1 : text, &host, &length, &port))
		return -EINVAL;
	snprintf(ret_host->destination, sizeof(ret_host->destination), "%.*s%s%.*s", (int)user,
		 text, at ? "@" : "", (int)length, host);
	snprintf(ret_host->port, sizeof(ret_host->port), "%s", port);
	return 0;
}
