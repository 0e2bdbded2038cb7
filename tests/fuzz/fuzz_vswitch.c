/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions of virtual switches: any bytes; what is taken reads back as the same. */
#include "vmms/network/vswitch_definition.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(vswitch_definition_freep) struct vswitch_definition *definition = NULL;
	CLEANUP(vswitch_definition_freep) struct vswitch_definition *again = NULL;
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *text_again = NULL;
	struct json_error error;

	if (vswitch_definition_parse((const char *)data, size, &definition, &error) < 0)
		return 0;
	text = vswitch_definition_to_text(definition);
	if (!text || vswitch_definition_parse(text, strlen(text), &again, &error) < 0)
		abort();
	text_again = vswitch_definition_to_text(again);
	if (!text_again || strcmp(text, text_again) != 0)
		abort();
	return 0;
}
