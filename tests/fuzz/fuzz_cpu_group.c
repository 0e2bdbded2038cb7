/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions of CPU groups: any bytes; what is taken reads back as the same. */
#include "vmms/cpu_group/cpu_group_definition.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(cpu_group_definition_freep) struct cpu_group_definition *definition = NULL;
	CLEANUP(cpu_group_definition_freep) struct cpu_group_definition *again = NULL;
	AUTO_JSON struct json_object *tree = NULL, *tree_again = NULL;
	struct json_error error;
	const char *text;

	if (cpu_group_definition_parse((const char *)data, size, &definition, &error) < 0)
		return 0;
	tree = cpu_group_definition_to_json(definition);
	if (!tree)
		abort();
	text = json_object_to_json_string(tree);
	if (cpu_group_definition_parse(text, strlen(text), &again, &error) < 0)
		abort();
	tree_again = cpu_group_definition_to_json(again);
	if (!tree_again || strcmp(text, json_object_to_json_string(tree_again)) != 0)
		abort();
	return 0;
}
