/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the readers of a definition's parts share.
 */
#pragma once

#include "common/base/json.h"

/* An absolute path. */
extern const struct json_text_rule definition_path_rule;

/* Refuses the member `name` of `object`, or the object if it has no such member. */
int definition_refuse_member(struct json_reader *reader, struct json_object *object,
			     const char *name, const char *message);

/* A json_read_fn: "disks" into the struct definition at `target`. */
int definition_disks_read(struct json_reader *reader, const struct json_key *key,
			  struct json_object *value, void *target);

/*
 * Makes a tree of an older version one of this version, in place. Return: 0; -EINVAL, with the
 * error filled: there is no such version, or a newer vmms wrote it.
 */
int definition_upgrade(struct json_reader *reader, struct json_object *object) MUST_CHECK;
