/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The screen for the firmware. */
#include "guest-vsc/uefi/efi_screen.h"

#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"

const struct guid efi_screen_guid =
	GUID(0x9042a9de, 0x23dc, 0x4a38, 0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a);

static struct efi_screen_info info = { .format = EFI_SCREEN_BGR };

static uint32_t *screen_pixels(const struct efi_screen *screen)
{
	return machine_address(screen->mode->base);
}

static bool screen_has(uint64_t x, uint64_t y, uint64_t width, uint64_t height)
{
	return x <= info.width && width <= info.width - x && y <= info.height &&
	       height <= info.height - y;
}

static efi_status_t screen_query_mode(struct efi_screen *screen, uint32_t mode, uint64_t *ret_size,
				      struct efi_screen_info **ret_info)
{
	void *copy;

	if (mode >= screen->mode->mode_count || !ret_size || !ret_info)
		return EFI_INVALID_PARAMETER;
	if (efi_boot->allocate_pool(EFI_BOOT_SERVICES_DATA, sizeof(info), &copy) != EFI_SUCCESS)
		return EFI_OUT_OF_RESOURCES;
	memcpy(copy, &info, sizeof(info));
	*ret_info = copy;
	*ret_size = sizeof(info);
	return EFI_SUCCESS;
}

static efi_status_t screen_set_mode(struct efi_screen *screen, uint32_t mode)
{
	if (mode >= screen->mode->mode_count)
		return EFI_UNSUPPORTED;
	memset(screen_pixels(screen), 0, (size_t)info.width * info.height * sizeof(uint32_t));
	return EFI_SUCCESS;
}

/* Lines that overlap are moved in the order in which none is lost. */
static void screen_move(uint32_t *pixels, uint64_t from_x, uint64_t from_y, uint64_t to_x,
			uint64_t to_y, uint64_t width, uint64_t height)
{
	bool down = from_y < to_y;

	for (uint64_t i = 0; i < height; i++) {
		uint64_t line = down ? height - 1 - i : i;

		memmove(pixels + (to_y + line) * info.width + to_x,
			pixels + (from_y + line) * info.width + from_x, width * sizeof(uint32_t));
	}
}

static void screen_fill(uint32_t *pixels, uint32_t pixel, uint64_t x, uint64_t y, uint64_t width,
			uint64_t height)
{
	for (uint64_t line = y; line < y + height; line++)
		for (uint64_t column = x; column < x + width; column++)
			pixels[line * info.width + column] = pixel;
}

/* Between the buffer, whose lines have `delta` bytes, and the screen. */
static void screen_copy(uint32_t *pixels, uint32_t *buffer, bool to_buffer, uint64_t buffer_at,
			uint64_t screen_at, uint64_t width, uint64_t height, uint64_t delta)
{
	for (uint64_t line = 0; line < height; line++) {
		uint8_t *in_buffer = (uint8_t *)buffer + buffer_at + line * delta;
		uint32_t *on_screen = pixels + screen_at + line * info.width;

		if (to_buffer)
			memcpy(in_buffer, on_screen, width * sizeof(uint32_t));
		else
			memcpy(on_screen, in_buffer, width * sizeof(uint32_t));
	}
}

static efi_status_t screen_transfer(struct efi_screen *screen, uint32_t *buffer, uint32_t how,
				    uint64_t from_x, uint64_t from_y, uint64_t to_x, uint64_t to_y,
				    uint64_t width, uint64_t height, uint64_t delta)
{
	uint32_t *pixels = screen_pixels(screen);
	bool from_screen = how == EFI_SCREEN_TO_BUFFER || how == EFI_SCREEN_MOVE;
	bool to_screen = how != EFI_SCREEN_TO_BUFFER;

	if (how > EFI_SCREEN_MOVE || width == 0 || height == 0 ||
	    (how != EFI_SCREEN_MOVE && !buffer) ||
	    (from_screen && !screen_has(from_x, from_y, width, height)) ||
	    (to_screen && !screen_has(to_x, to_y, width, height)))
		return EFI_INVALID_PARAMETER;
	delta = delta ? delta : width * sizeof(uint32_t);
	if (how == EFI_SCREEN_FILL)
		screen_fill(pixels, *buffer, to_x, to_y, width, height);
	else if (how == EFI_SCREEN_MOVE)
		screen_move(pixels, from_x, from_y, to_x, to_y, width, height);
	else if (how == EFI_SCREEN_TO_BUFFER)
		screen_copy(pixels, buffer, true, to_y * delta + to_x * sizeof(uint32_t),
			    from_y * info.width + from_x, width, height, delta);
	else
		screen_copy(pixels, buffer, false, from_y * delta + from_x * sizeof(uint32_t),
			    to_y * info.width + to_x, width, height, delta);
	return EFI_SUCCESS;
}

static struct efi_screen_mode mode = { .mode_count = 1, .info = &info, .info_size = sizeof(info) };

static struct efi_screen screen = {
	.query_mode = screen_query_mode,
	.set_mode = screen_set_mode,
	.transfer = screen_transfer,
	.mode = &mode,
};

struct efi_screen *efi_screen_make(uint64_t address, uint32_t width, uint32_t height)
{
	info.width = info.line = width;
	info.height = height;
	mode.base = address;
	mode.size = (uint64_t)width * height * sizeof(uint32_t);
	(void)screen_set_mode(&screen, 0);
	return &screen;
}
