/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flash memory. */
#include "vmwp/chipset/flash.h"

#include "common/base/state.h"
#include "vmwp/base/platform.h"

#include <string.h>

enum {
	WRITE_BYTE = 0x10,
	WRITE_BYTE_TOO = 0x40,
	ERASE_BLOCK = 0x20,
	READ_STATUS = 0x70,
	ERASE_CONFIRM = 0xd0,
	READ_ARRAY = 0xff,
};

#define STATUS_CLEAR 0x00 /* by which the firmware knows flash from a ROM */
#define ERASED       0xff

_Static_assert(FLASH_SIZE == PLATFORM_FLASH_SIZE, "it fills its place");

struct flash {
	const struct chipset_callbacks *callbacks;
	void *data;
	uint8_t *bytes;          /* the host's; NULL: there is none */
	const uint8_t *restored; /* what they become, of a state that is being taken */
	bool shows_status, told_status;
	bool changed; /* and the host has not been told */
	uint8_t command;
};

/* ---- What the guest does ---- */

static uint64_t flash_read(void *device, uint64_t offset, unsigned size)
{
	const struct flash *flash = device;

	if (!flash->bytes)
		return UINT64_MAX;
	return flash->shows_status ? STATUS_CLEAR : flash->bytes[offset];
}

/* Bits can only be cleared; erasing sets them. */
static void flash_finish(struct flash *flash, uint64_t offset, uint8_t value)
{
	if (flash->command != ERASE_BLOCK)
		flash->bytes[offset] &= value;
	else if (value == ERASE_CONFIRM)
		memset(flash->bytes + ALIGN_DOWN(offset, FLASH_BLOCK), ERASED, FLASH_BLOCK);
	flash->command = 0;
	flash->changed = true;
}

static enum power_request flash_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
	struct flash *flash = device;

	if (!flash->bytes)
		return POWER_NOTHING;
	if (flash->command != 0) {
		flash_finish(flash, offset, (uint8_t)value);
		return POWER_NOTHING;
	}
	switch (value) {
	case WRITE_BYTE:
	case WRITE_BYTE_TOO:
	case ERASE_BLOCK:
		flash->command = (uint8_t)value;
		break;
	case READ_STATUS:
		flash->shows_status = true;
		break;
	case READ_ARRAY:
		flash->shows_status = false;
	}
	return POWER_NOTHING;
}

/* ---- The host's side ---- */

void flash_set_bytes(void *device, uint8_t *bytes)
{
	((struct flash *)device)->bytes = bytes;
}

void flash_copy(const void *device, uint8_t ret_bytes[static FLASH_SIZE])
{
	memcpy(ret_bytes, ((const struct flash *)device)->bytes, FLASH_SIZE);
}

static void flash_settle(void *device)
{
	struct flash *flash = device;

	if (flash->restored && flash->bytes) {
		memcpy(flash->bytes, flash->restored, FLASH_SIZE);
		flash->changed = true;
	}
	flash->restored = NULL;
	if (flash->shows_status != flash->told_status)
		flash->callbacks->flash_is_memory(flash->data, !flash->shows_status);
	flash->told_status = flash->shows_status;
	if (flash->changed && flash->command == 0)
		flash->callbacks->flash_changed(flash->data);
	flash->changed = flash->changed && flash->command != 0;
}

/* ---- The row ---- */

static void flash_init(void *device, const struct chipset_config *config)
{
	struct flash *flash = device;

	flash->callbacks = config->callbacks;
	flash->data = config->data;
}

/* It is memory in a new partition; what it holds stays. */
static void flash_reset(void *device)
{
	struct flash *flash = device;

	flash->shows_status = false;
	flash->told_status = false;
	flash->command = 0;
}

static void flash_save(const void *device, struct state_writer *writer)
{
	const struct flash *flash = device;
	const struct flash_state state = { .shows_status = flash->shows_status,
					   .command = flash->command };

	state_put(writer, &state, sizeof(state));
	if (flash->bytes)
		state_put(writer, flash->bytes, FLASH_SIZE);
}

static bool flash_is_valid(const struct flash_state *state)
{
	static const struct flash_state none;

	return state->shows_status <= 1 &&
	       (state->command == 0 || state->command == WRITE_BYTE ||
		state->command == WRITE_BYTE_TOO || state->command == ERASE_BLOCK) &&
	       memcmp(state->zero, none.zero, sizeof(none.zero)) == 0;
}

/* The bytes are taken over when all other records have been found right, which they live to see. */
static int flash_restore(void *device, struct state_record *record)
{
	struct flash *flash = device;
	struct flash_state state;
	const uint8_t *bytes = NULL;

	if (state_get(record, &state, sizeof(state)) != 0 || !flash_is_valid(&state))
		return STATE_E_INVALID;
	if (flash->bytes) {
		bytes = state_take(record, FLASH_SIZE);
		if (!bytes)
			return STATE_E_INVALID;
	}
	flash->restored = bytes;
	flash->shows_status = state.shows_status;
	flash->command = state.command;
	return 0;
}

static void flash_inspect(const void *device, struct json_object **tree)
{
	const struct flash *flash = device;

	json_add(tree, "shows_status", json_object_new_boolean(flash->shows_status));
	json_add(tree, "command", json_make_hex(flash->command));
}

const struct chipset_device_ops flash_ops = {
	.name = "flash",
	.size = sizeof(struct flash),
	.mmio = { { PLATFORM_FLASH, PLATFORM_FLASH_SIZE, 1, flash_read, flash_write } },
	.init = flash_init,
	.reset = flash_reset,
	.settle = flash_settle,
	.state_version = 1,
	.save = flash_save,
	.restore = flash_restore,
	.inspect = flash_inspect,
};
