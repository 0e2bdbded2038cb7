/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The virtual processors of a VM, in its definition: "processors".
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "common/cpu_features.h"

#define DEFINITION_PROCESSORS_MAX 240

enum definition_model {
	DEFINITION_MODEL_HOST,     /* "host": what KVM can give of this host's CPU */
	DEFINITION_MODEL_BASELINE, /* "baseline": what nearly all hosts can */
};

struct definition_processors {
	unsigned count, sockets, cores, threads; /* count = sockets * cores * threads */
	enum definition_model model;
	struct cpu_feature_set without; /* as named: what builds on them is not in it */
};

extern const char *const definition_model_names[]; /* in their order, closed by NULL */

/* One vp, like the host. */
void definition_processors_init(struct definition_processors *processors);

/* A json_read_fn, into the struct definition_processors at `target`, which has its defaults. */
int definition_processors_read(struct json_reader *reader, const struct json_key *key,
			       struct json_object *value, void *target);

/*
 * Without the cores, which make up the count: so that it alone can be changed. New reference; NULL
 * without memory.
 */
struct json_object *definition_processors_to_json(const struct definition_processors *processors);

/* Names, in their order. New reference; NULL without memory. */
struct json_object *definition_features_to_json(const struct cpu_feature_set *set);
