/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host that a command is about: what the user says, checked.
 */
#pragma once

#define REMOTE_HOST_MAX 320 /* bytes of [USER@]HOST, with the end */

struct remote_host {
	char destination[REMOTE_HOST_MAX]; /* [USER@]HOST, as ssh takes it; "": this host */
	char port[6];                      /* "": the one that ssh takes by itself */
};

/*
 * "[USER@]HOST[:PORT]", an IPv6 address with a port in brackets. No part of it can be taken for an
 * option, nor be of use to a shell. Return: 0; -EINVAL: it is none.
 */
int remote_host_parse(const char *text, struct remote_host *ret_host);
