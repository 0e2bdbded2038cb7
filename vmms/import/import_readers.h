/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The readers of the two kinds of configuration files; import.h says what they make. */
#pragma once

#include "vmms/import/import.h"

#include <stdbool.h>
#include <stdint.h>

/* -EINVAL, with the text in *error. */
int import_refuse(struct import_error *error, const char *format, ...) PRINTF_LIKE(2, 3);

/* As import_read(). */
int vmcx_read(const uint8_t *bytes, size_t size, struct json_object **ret_tree,
	      struct import_error *ret_error) MUST_CHECK;
int vm_xml_read(const char *text, size_t size, struct json_object **ret_tree,
		struct import_error *ret_error) MUST_CHECK;

bool vmcx_is_it(const uint8_t *bytes, size_t size);
