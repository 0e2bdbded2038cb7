/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Settings as they are written on the command line, KEY=VALUE, put into the tree of a definition.
 *
 * KEY is as in vmms-vm.json(5): "memory.size", "disks[0].cache". VALUE is taken as it is where the
 * definition has text there; else as JSON, or as a list of words with commas where it has an array,
 * or as text. Without a VALUE the key is taken out, which brings back its default. Whether what
 * comes of it makes sense is for vmms to say.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

enum {
	_SETTING_E_OK,
	SETTING_E_FORM,  /* not KEY=VALUE, or KEY is none */
	SETTING_E_PLACE, /* the definition has no place of that name */
};

/* Return: 0; SETTING_E_; -ENOMEM. */
int setting_apply(struct json_object *definition, const char *setting) MUST_CHECK;
