/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configurations of Hyper-V's: the first byte says whether the rest is XML (0), what lies in a .vmcx
 * from the table of objects on (1), or a whole file (others). What can be read becomes a definition
 * or is refused.
 */
#include "vmms/import/import.h"
#include "vmms/import/vmcx_wire.h"

#include <stdlib.h>
#include <string.h>

#define LOG_OFFSET 0x1800u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try(const void *bytes, size_t size)
{
	AUTO_JSON struct json_object *tree = NULL;
	struct import_error error;
	struct import import;

	if (import_read(bytes, size, &tree, &error) < 0)
		return;
	if (import_make(tree, &import, &error) == 0) {
		if (!import.definition || !import.notes)
			abort();
		import_deinit(&import);
	}
}

static void try_objects(const uint8_t *data, size_t size)
{
	const struct vmcx_header header = { .signature = VMCX_HEADER_SIGNATURE,
					    .version = VMCX_VERSION,
					    .log_offset = LOG_OFFSET };
	const struct vmcx_log log = { .signature = VMCX_LOG_SIGNATURE };
	AUTO_FREE uint8_t *file = calloc(1, VMCX_OBJECT_TABLE + size);

	if (!file)
		return;
	memcpy(file, &header, sizeof(header));
	memcpy(file + LOG_OFFSET, &log, sizeof(log));
	memcpy(file + VMCX_OBJECT_TABLE, data, size);
	try(file, VMCX_OBJECT_TABLE + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 1)
		try_objects(data + 1, size - 1);
	else
		try(data + 1, size - 1);
	return 0;
}
