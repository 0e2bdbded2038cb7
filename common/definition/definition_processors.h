/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The virtual processors of a VM, in its definition: "processors".
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "common/base/number_set.h"
#include "common/definition/cpu_features.h"

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

/* A bit for each vp. */
struct definition_vps {
	uint64_t bits[NUMBER_SET_WORDS(DEFINITION_PROCESSORS_MAX)];
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

/* ---- Sets of vps ---- */

#define DEFINITION_VPS_TEXT 512 /* "0-3,8"; every set fits */

static inline bool definition_vps_has(const struct definition_vps *vps, unsigned vp)
{
	return number_set_has(vps->bits, vp);
}

static inline void definition_vps_add(struct definition_vps *vps, unsigned vp)
{
	number_set_add(vps->bits, vp);
}

/* Return: 0; -EINVAL, of an empty text, too; -ERANGE: a vp that no VM has. */
int definition_vps_parse(const char *text, struct definition_vps *ret_vps) MUST_CHECK;
void definition_vps_format(const struct definition_vps *vps, char text[static DEFINITION_VPS_TEXT]);
