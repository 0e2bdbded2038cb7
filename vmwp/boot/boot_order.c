/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What firmware tries first. */
#include "vmwp/boot/boot_order.h"

#include <stdio.h>
#include <string.h>

#define LINE_MAX_SIZE 64

/*
 * Generation 1's IDE devices are the first LUNs of controller 0; generation 2's driver has
 * controllers as targets. false: the firmware does not find it.
 */
static bool order_line(unsigned generation, const struct definition_disk *disk,
		       char line[LINE_MAX_SIZE])
{
	if (generation == 2)
		snprintf(line, LINE_MAX_SIZE, "/pci@i0cf8/scsi@2/channel@0/disk@%x,%x",
			 disk->controller, disk->lun);
	else
		snprintf(line, LINE_MAX_SIZE, "/pci@i0cf8/ide@7,1/drive@%x/disk@%x", disk->lun / 2,
			 disk->lun % 2);
	return generation == 2 || (disk->controller == 0 && disk->lun < DEFINITION_IDE_DISKS);
}

static void order_add(char *text, const char *line)
{
	size_t length = strlen(text);

	if (length + strlen(line) + 2 <= BOOT_ORDER_SIZE)
		sprintf(text + length, "%s%s", length > 0 ? "\n" : "", line);
}

static void order_add_drives(const struct definition *definition, enum definition_drive drive,
			     char *text)
{
	char line[LINE_MAX_SIZE];

	for (unsigned controller = 0; controller < DEFINITION_CONTROLLERS_MAX; controller++)
		for (unsigned lun = 0; lun < DEFINITION_LUNS_MAX; lun++) {
			const struct definition_disk *disk =
				definition_find_disk(definition, controller, lun);

			if (disk && disk->drive == drive &&
			    order_line(definition->generation, disk, line))
				order_add(text, line);
		}
}

void boot_order_write(const struct definition *definition, char ret_text[static BOOT_ORDER_SIZE])
{
	char line[LINE_MAX_SIZE];

	ret_text[0] = '\0';
	if (definition->boot_order.count > 0) {
		for (unsigned rank = 0; rank < DEFINITION_DRIVES; rank++)
			order_add_drives(definition,
					 definition_boot_order_drive(&definition->boot_order, rank),
					 ret_text);
	} else if (definition->generation == 1) {
		for (unsigned lun = 0; lun < DEFINITION_IDE_DISKS; lun++) {
			const struct definition_disk disk = { .lun = (uint8_t)lun };

			if (order_line(1, &disk, line))
				order_add(ret_text, line);
		}
	}
}
