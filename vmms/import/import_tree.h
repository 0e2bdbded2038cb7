/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Within import_make(): questions to a configuration's tree, and what is made of it meanwhile. */
#pragma once

#include "vmms/import/import_readers.h"

struct import_work {
	struct json_object *configuration; /* the node; NULL: it is none */
	struct import_error *error;
	unsigned generation; /* once it is known */
	/* As of struct import; NULL after want of memory, which is looked at in the end. */
	struct json_object *definition, *notes;
};

/* By names with slashes between them. NULL, or false: there is no such thing, or of another kind. */
struct json_object *import_node(struct json_object *node, const char *path);
const char *import_text(struct json_object *node, const char *path);
bool import_number(struct json_object *node, const char *path, uint64_t *ret_number);
bool import_truth(struct json_object *node, const char *path, bool *ret_truth);

/* A member that is a GUID, if the text is one, in braces or without; else a note. */
void import_add_guid(struct import_work *work, struct json_object *object, const char *key,
		     const char *text);

void import_note(struct import_work *work, const char *format, ...) PRINTF_LIKE(2, 3);

/* Disks, adapters, firmware: all that the configuration's manifest names. */
void import_devices(struct import_work *work);
