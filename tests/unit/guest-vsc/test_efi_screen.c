/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The screen as the firmware uses it: what is transferred, and what is refused. */
#include "guest-vsc/uefi/efi_screen.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { WIDTH = 6, HEIGHT = 4 };

const struct efi_boot_services *efi_boot;

static uint32_t pixels[WIDTH * HEIGHT];

static efi_status_t allocate_pool(uint32_t type, uint64_t size, void **ret_buffer)
{
	*ret_buffer = malloc(size);
	return EFI_SUCCESS;
}

static int setup(void **state)
{
	static const struct efi_boot_services services = { .allocate_pool = allocate_pool };

	efi_boot = &services;
	memset(pixels, 0xff, sizeof(pixels));
	*state = efi_screen_make((uintptr_t)pixels, WIDTH, HEIGHT);
	return 0;
}

static void count_up(void)
{
	for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
		pixels[i] = i;
}

static void test_modes(void **state)
{
	struct efi_screen *screen = *state;
	struct efi_screen_info *info;
	uint64_t size;

	for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
		assert_int_equal(pixels[i], 0);
	assert_int_equal(screen->mode->base, (uintptr_t)pixels);
	assert_int_equal(screen->mode->size, sizeof(pixels));
	assert_int_equal(screen->query_mode(screen, 0, &size, &info), EFI_SUCCESS);
	assert_int_equal(size, sizeof(*info));
	assert_true(info->width == WIDTH && info->height == HEIGHT && info->line == WIDTH);
	assert_int_equal(info->format, EFI_SCREEN_BGR);
	free(info);
	assert_int_equal(screen->query_mode(screen, 1, &size, &info), EFI_INVALID_PARAMETER);
	assert_int_equal(screen->set_mode(screen, 1), EFI_UNSUPPORTED);
	count_up();
	assert_int_equal(screen->set_mode(screen, 0), EFI_SUCCESS);
	assert_int_equal(pixels[7], 0);
}

static void test_fill(void **state)
{
	struct efi_screen *screen = *state;
	uint32_t pixel = 0x123456;

	assert_int_equal(screen->transfer(screen, &pixel, EFI_SCREEN_FILL, 0, 0, 4, 2, 2, 2, 0),
			 EFI_SUCCESS);
	for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
		assert_int_equal(pixels[i], i % WIDTH >= 4 && i / WIDTH >= 2 ? pixel : 0);
}

/* A part of a buffer with lines of its own, to the screen and back. */
static void test_buffers(void **state)
{
	struct efi_screen *screen = *state;
	uint32_t buffer[4][5], back[2][2];

	for (uint32_t i = 0; i < 20; i++)
		buffer[i / 5][i % 5] = 100 + i;
	assert_int_equal(screen->transfer(screen, buffer[0], EFI_SCREEN_FROM_BUFFER, 3, 1, 1, 2, 2,
					  2, sizeof(buffer[0])),
			 EFI_SUCCESS);
	assert_int_equal(pixels[2 * WIDTH + 1], 108);
	assert_int_equal(pixels[3 * WIDTH + 2], 114);
	assert_int_equal(
		screen->transfer(screen, back[0], EFI_SCREEN_TO_BUFFER, 1, 2, 0, 0, 2, 2, 0),
		EFI_SUCCESS);
	assert_true(back[0][0] == 108 && back[0][1] == 109 && back[1][0] == 113 &&
		    back[1][1] == 114);
}

/* As a screen scrolls, up and down, and sideways. */
static void test_moves_overlap(void **state)
{
	struct efi_screen *screen = *state;

	count_up();
	assert_int_equal(screen->transfer(screen, NULL, EFI_SCREEN_MOVE, 0, 1, 0, 0, WIDTH, 3, 0),
			 EFI_SUCCESS);
	assert_int_equal(pixels[0], WIDTH);
	assert_int_equal(pixels[2 * WIDTH], 3 * WIDTH);
	count_up();
	assert_int_equal(
		screen->transfer(screen, NULL, EFI_SCREEN_MOVE, 0, 0, 1, 1, WIDTH - 1, 3, 0),
		EFI_SUCCESS);
	assert_int_equal(pixels[WIDTH + 1], 0);
	assert_int_equal(pixels[3 * WIDTH + 5], 2 * WIDTH + 4);
}

static void test_what_is_not_on_the_screen(void **state)
{
	static const struct {
		uint32_t how;
		uint64_t from_x, from_y, to_x, to_y, width, height;
	} cases[] = {
		{ EFI_SCREEN_FILL, 0, 0, 5, 0, 2, 1 },
		{ EFI_SCREEN_FILL, 0, 0, 0, 4, 1, 1 },
		{ EFI_SCREEN_FILL, 0, 0, UINT64_MAX, 0, 2, 1 },
		{ EFI_SCREEN_FILL, 0, 0, 0, 0, 1, UINT64_MAX },
		{ EFI_SCREEN_FILL, 0, 0, 0, 0, 0, 1 },
		{ EFI_SCREEN_TO_BUFFER, 0, 3, 0, 0, 1, 2 },
		{ EFI_SCREEN_FROM_BUFFER, 0, 0, 6, 0, 1, 1 },
		{ EFI_SCREEN_MOVE, 4, 0, 0, 0, 3, 1 },
		{ EFI_SCREEN_MOVE, 0, 0, 4, 0, 3, 1 },
		{ EFI_SCREEN_MOVE + 1, 0, 0, 0, 0, 1, 1 },
	};
	struct efi_screen *screen = *state;
	uint32_t buffer[4] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(screen->transfer(screen, buffer, cases[i].how, cases[i].from_x,
						  cases[i].from_y, cases[i].to_x, cases[i].to_y,
						  cases[i].width, cases[i].height, 0),
				 EFI_INVALID_PARAMETER);
	assert_int_equal(screen->transfer(screen, NULL, EFI_SCREEN_FILL, 0, 0, 0, 0, 1, 1, 0),
			 EFI_INVALID_PARAMETER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_modes, setup),
		cmocka_unit_test_setup(test_fill, setup),
		cmocka_unit_test_setup(test_buffers, setup),
		cmocka_unit_test_setup(test_moves_overlap, setup),
		cmocka_unit_test_setup(test_what_is_not_on_the_screen, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
