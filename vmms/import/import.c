/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which of the two kinds a configuration file is. */
#include "vmms/import/import_readers.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int import_refuse(struct import_error *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

int import_read(const void *bytes, size_t size, struct json_object **ret_tree,
		struct import_error *ret_error)
{
	AUTO_JSON struct json_object *tree = NULL;
	int r;

	if (size > IMPORT_FILE_MAX)
		return import_refuse(ret_error, "it is larger than %u MiB",
				     IMPORT_FILE_MAX / 1024 / 1024);
	if (size == 0)
		return import_refuse(ret_error, "it is empty");
	r = vmcx_is_it(bytes, size) ? vmcx_read(bytes, size, &tree, ret_error)
				    : vm_xml_read(bytes, size, &tree, ret_error);
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(tree, "configuration", NULL))
		return import_refuse(ret_error, "it has no 'configuration', as those of VMs have");
	*ret_tree = TAKE_PTR(tree);
	return 0;
}
