/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The definition of a virtual switch: what an administrator wrote, checked.
 *
 * JSON, read as strictly as the definition of a VM (common/definition/definition.h):
 *
 *     { "version": 1, "name": "lan", "uuid": "…", "notes": "…", "type": "internal",
 *       "addresses": ["192.0.2.1/24", "2001:db8::1/64"], "mtu": 1500 }
 *
 *     private    VMs among themselves; the host is not heard
 *     internal   VMs and the host, which has "addresses" there
 *     external   VMs and a network of the host's: "bridge", one of the administrator's, which stays
 *                as it is; or "interface", which becomes the switch's
 *
 * A struct vswitch_definition owns its strings. (It is a "vswitch" here, since "switch" is a
 * word of C.)
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "common/base/json.h"
#include "vmms/network/network_link.h"

#define VSWITCH_DEFINITION_VERSION 1
#define VSWITCH_SIZE_MAX           (64 * 1024) /* bytes of text */
#define VSWITCH_NOTES_MAX          4096        /* bytes */
#define VSWITCH_ADDRESSES_MAX      16
#define VSWITCH_MTU_MIN            1280
#define VSWITCH_MTU_MAX            9216

enum vswitch_type { VSWITCH_PRIVATE, VSWITCH_INTERNAL, VSWITCH_EXTERNAL };

/* Their names, in their order, closed by NULL. */
extern const char *const vswitch_type_names[];

struct vswitch_definition {
	char *name;       /* as definition_switch_name_is_valid() has it */
	struct guid uuid; /* all zero if the text had none */
	char *notes;
	enum vswitch_type type;
	char *bridge, *interface; /* of an external switch: one of them; else NULL */
	struct {
		char *text;
		struct network_address address;
	} addresses[VSWITCH_ADDRESSES_MAX]; /* of an internal switch */
	size_t address_count;
	unsigned mtu; /* of the host's side; 0: of an internal switch 1500, else as it is */
};

void vswitch_definition_free(struct vswitch_definition *definition);
DEFINE_CLEANUP(struct vswitch_definition *, vswitch_definition_free)

/*
 * size: bytes of text, which need not end in a NUL; at most VSWITCH_SIZE_MAX is accepted. Return:
 * 0; -EINVAL with *ret_error filled; -ENOMEM.
 */
int vswitch_definition_parse(const char *text, size_t size,
			     struct vswitch_definition **ret_definition,
			     struct json_error *ret_error) MUST_CHECK;

/* The same from a file. Return: as above, or -errno of open(2) and read(2). */
int vswitch_definition_load(const char *path, struct vswitch_definition **ret_definition,
			    struct json_error *ret_error) MUST_CHECK;

/* All members that say something. New reference; NULL without memory. */
struct json_object *vswitch_definition_to_json(const struct vswitch_definition *definition);

/* The same as text, pretty, freed by the caller; NULL without memory. */
char *vswitch_definition_to_text(const struct vswitch_definition *definition);
