/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network adapters as they are written on the command line: the options of net add and net set.
 */
#pragma once

#include "common/base/json.h"
#include "vmms/vmctl/command.h"

/*
 * Puts what the options say into an adapter of a definition. What the values may be is for the
 * definition's reader to say, except where they are written in another way here. Return: STATUS_OK;
 * STATUS_USAGE, which has been said.
 */
enum status adapter_options_apply(struct invocation *invocation, struct json_object **adapter);

/* "--forward" of an invocation, as the array of a definition; "none" is an empty one. */
struct json_object *adapter_options_forwards(const struct invocation *invocation);

/* "10M", "2500k", "1000": bits a second; K, M and G are powers of 1000. Return: 0; -EINVAL. */
int adapter_rate_parse(const char *text, uint64_t *ret_bits) MUST_CHECK;

/*
 * "10", "trunk:10,20", "trunk:10,20,native:1", as the object of a definition; "none" is *ret_vlan
 * NULL. Return: 0; -EINVAL; -ENOMEM.
 */
int adapter_vlan_parse(const char *text, struct json_object **ret_vlan) MUST_CHECK;
