/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host tells the firmware. */
#include "vmwp/chipset/fw_cfg.h"

#include "common/base/state.h"
#include "vmwp/base/platform.h"
#include "vmwp/chipset/chipset_devices.h"
#include "vmwp/chipset/pci.h"

#include <arpa/inet.h>
#include <string.h>

enum {
	ITEM_SIGNATURE = 0x00,
	ITEM_FEATURES = 0x01,
	ITEM_PROCESSORS = 0x05,
	ITEM_PROCESSORS_MAX = 0x0f,
	ITEM_DIRECTORY = 0x19,
	ITEM_FILES = 0x20, /* the first of them */
};

#define FEATURE_PORTS 1u /* these two, and no DMA */

/* Of the directory, which begins with their number; all of it is big-endian. */
struct fw_cfg_entry {
	uint32_t size;
	uint16_t item, reserved;
	char name[FW_CFG_NAME_MAX + 1];
};
_Static_assert(sizeof(struct fw_cfg_entry) == 64, "fw_cfg.rst, File Directory");

struct fw_cfg {
	const struct pci *pci; /* knows whether there is one any more */
	const struct fw_cfg_items *items;
	uint16_t selected;
	uint32_t offset;
};

static uint8_t byte_of(const void *bytes, size_t size, uint32_t offset)
{
	return offset < size ? ((const uint8_t *)bytes)[offset] : 0;
}

static uint8_t fw_cfg_directory_byte(const struct fw_cfg_items *items, uint32_t offset)
{
	const uint32_t count = htonl(items->file_count);
	uint32_t index = (uint32_t)((offset - sizeof(count)) / sizeof(struct fw_cfg_entry));
	struct fw_cfg_entry entry = { 0 };

	if (offset < sizeof(count))
		return byte_of(&count, sizeof(count), offset);
	if (index >= items->file_count)
		return 0;
	entry.size = htonl(items->files[index].size);
	entry.item = htons((uint16_t)(ITEM_FILES + index));
	strncpy(entry.name, items->files[index].name, FW_CFG_NAME_MAX);
	return byte_of(&entry, sizeof(entry), (uint32_t)((offset - sizeof(count)) % sizeof(entry)));
}

static uint8_t fw_cfg_byte(const struct fw_cfg *fw_cfg)
{
	static const struct fw_cfg_items none;
	const struct fw_cfg_items *items = fw_cfg->items ? fw_cfg->items : &none;
	const uint32_t features = FEATURE_PORTS;
	unsigned file = fw_cfg->selected - ITEM_FILES;

	switch (fw_cfg->selected) {
	case ITEM_SIGNATURE:
		return byte_of("QEMU", 4, fw_cfg->offset);
	case ITEM_FEATURES:
		return byte_of(&features, sizeof(features), fw_cfg->offset);
	case ITEM_PROCESSORS:
	case ITEM_PROCESSORS_MAX:
		return byte_of(&items->processors, sizeof(items->processors), fw_cfg->offset);
	case ITEM_DIRECTORY:
		return fw_cfg_directory_byte(items, fw_cfg->offset);
	}
	if (fw_cfg->selected < ITEM_FILES || file >= items->file_count)
		return 0;
	return byte_of(items->files[file].bytes, items->files[file].size, fw_cfg->offset);
}

static uint64_t fw_cfg_read(void *device, uint64_t offset, unsigned size)
{
	struct fw_cfg *fw_cfg = device;
	uint8_t byte;

	if (offset == 0 || pci_is_handed_over(fw_cfg->pci))
		return UINT64_MAX; /* the selector is write-only */
	byte = fw_cfg_byte(fw_cfg);
	fw_cfg->offset += fw_cfg->offset < UINT32_MAX;
	return byte;
}

static enum power_request fw_cfg_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
	struct fw_cfg *fw_cfg = device;

	if (offset == 0 && size == 2) {
		fw_cfg->selected = (uint16_t)value;
		fw_cfg->offset = 0;
	}
	return POWER_NOTHING;
}

void fw_cfg_set_items(void *device, const struct fw_cfg_items *items)
{
	((struct fw_cfg *)device)->items = items;
}

/* ---- The row ---- */

static void fw_cfg_init(void *device, const struct chipset_config *config)
{
	((struct fw_cfg *)device)->pci = chipset_devices_get(config->devices, &pci_ops);
}

static void fw_cfg_reset(void *device)
{
	struct fw_cfg *fw_cfg = device;

	fw_cfg->selected = 0;
	fw_cfg->offset = 0;
}

static void fw_cfg_save(const void *device, struct state_writer *writer)
{
	const struct fw_cfg *fw_cfg = device;
	struct fw_cfg_state state = { .selected = fw_cfg->selected, .offset = fw_cfg->offset };

	state_put(writer, &state, sizeof(state));
}

static int fw_cfg_restore(void *device, struct state_record *record)
{
	struct fw_cfg *fw_cfg = device;
	struct fw_cfg_state state;

	if (state_get(record, &state, sizeof(state)) != 0 || state.zero != 0)
		return STATE_E_INVALID;
	fw_cfg->selected = state.selected;
	fw_cfg->offset = state.offset;
	return 0;
}

static void fw_cfg_inspect(const void *device, struct json_object **tree)
{
	const struct fw_cfg *fw_cfg = device;

	json_add(tree, "selected", json_make_hex(fw_cfg->selected));
	json_add(tree, "offset", json_object_new_int64(fw_cfg->offset));
}

const struct chipset_device_ops fw_cfg_ops = {
	.name = "fw_cfg",
	.size = sizeof(struct fw_cfg),
	.ports = { { PLATFORM_FW_CFG_PORT, 2, 2, fw_cfg_read, fw_cfg_write } },
	.init = fw_cfg_init,
	.reset = fw_cfg_reset,
	.state_version = 1,
	.save = fw_cfg_save,
	.restore = fw_cfg_restore,
	.inspect = fw_cfg_inspect,
};
