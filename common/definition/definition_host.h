/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the host does with a VM, in its definition: "tags", "automatic_start", "automatic_stop". No
 * guest sees any of it.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

#include <stdbool.h>

#define DEFINITION_TAGS_MAX         32
#define DEFINITION_TAG_MAX          64   /* bytes */
#define DEFINITION_START_DELAY_MAX  3600 /* seconds */
#define DEFINITION_START_ORDER      100  /* unless the definition has another */
#define DEFINITION_START_ORDER_MAX  9999
#define DEFINITION_STOP_TIMEOUT_MAX 3600 /* seconds */

/* Words by which VMs are found, each once. */
struct definition_tags {
	char *tags[DEFINITION_TAGS_MAX];
	unsigned count;
};

enum definition_start_action { DEFINITION_START_NONE, DEFINITION_START_ALWAYS };

/* When the host has started. */
struct definition_automatic_start {
	enum definition_start_action action;
	unsigned delay; /* seconds, after the VM before it has been started */
	unsigned order; /* lower ones first, equal ones by name */
};

enum definition_stop_action {
	DEFINITION_STOP_SAVE, /* or, if that fails, the next */
	DEFINITION_STOP_SHUT_DOWN,
	DEFINITION_STOP_TURN_OFF,
};

/* When the host shuts down. */
struct definition_automatic_stop {
	enum definition_stop_action action;
	unsigned
		timeout; /* seconds that the guest gets to shut down; 0: as many as the service's */
};

/* json_read_fn's, each into the struct of its name at `target`. */
int definition_tags_read(struct json_reader *reader, const struct json_key *key,
			 struct json_object *value, void *target);
int definition_automatic_start_read(struct json_reader *reader, const struct json_key *key,
				    struct json_object *value, void *target);
int definition_automatic_stop_read(struct json_reader *reader, const struct json_key *key,
				   struct json_object *value, void *target);

/* New references; NULL without memory. */
struct json_object *definition_tags_to_json(const struct definition_tags *tags);
struct json_object *definition_automatic_start_to_json(
	const struct definition_automatic_start *start);
struct json_object *definition_automatic_stop_to_json(const struct definition_automatic_stop *stop);

void definition_tags_deinit(struct definition_tags *tags);
