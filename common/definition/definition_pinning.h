/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which CPUs of the host the vps of a VM run on, in its definition: "pinning" of "resources", a
 * list of pins. A vp that no pin names runs where the VM may.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"
#include "common/definition/cpu_list.h"
#include "common/definition/definition_processors.h"

struct definition_pin {
	struct definition_vps vps; /* neither is empty */
	struct cpu_list cpus;
};

/* All zero: none. */
struct definition_pinning {
	unsigned count;
	struct definition_pin *pins; /* no vp is in two */
};

/* A json_read_fn, into the struct definition_pinning at `target`, whose pins it frees. */
int definition_pinning_read(struct json_reader *reader, const struct json_key *key,
			    struct json_object *value, void *target);

/*
 * Of a VM with so many vps that runs on these CPUs (none: on all). value is that of "pinning".
 * Return: 0; -EINVAL by json_refuse().
 */
int definition_pinning_check(struct json_reader *reader, struct json_object *value,
			     const struct definition_pinning *pinning, unsigned vps,
			     const struct cpu_list *cpus) MUST_CHECK;

/*
 * Both, on any CPUs. What *pinning had is freed on success. Return: 0; -EINVAL with *ret_error
 * filled; -ENOMEM.
 */
int definition_pinning_from_json(struct json_object *array, unsigned vps,
				 struct definition_pinning *pinning,
				 struct json_error *ret_error) MUST_CHECK;

/* As far as it is of the first `vps` vps. New reference; NULL without memory. */
struct json_object *definition_pinning_to_json(const struct definition_pinning *pinning,
					       unsigned vps);

/* Where a vp is to run; NULL: it is not pinned. */
const struct cpu_list *definition_pinning_find(const struct definition_pinning *pinning,
					       unsigned vp);

void definition_pinning_deinit(struct definition_pinning *pinning);
