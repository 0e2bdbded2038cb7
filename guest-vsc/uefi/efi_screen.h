/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A frame buffer as the firmware's graphics output protocol: one mode. Source: UEFI specification 2.10,
 * 12.9.
 */
#pragma once

#include "guest-vsc/uefi/efi.h"

struct efi_screen_info {
	uint32_t version, width, height;
	uint32_t format;   /* EFI_SCREEN_BGR */
	uint32_t masks[4]; /* of other formats */
	uint32_t line;     /* pixels */
};
_Static_assert(sizeof(struct efi_screen_info) == 36, "UEFI 12.9.2");

enum { EFI_SCREEN_BGR = 1 };

struct efi_screen_mode {
	uint32_t mode_count, mode;
	struct efi_screen_info *info;
	uint64_t info_size;
	uint64_t base, size; /* of the frame buffer, bytes */
};
_Static_assert(sizeof(struct efi_screen_mode) == 40, "UEFI 12.9.2");

enum efi_screen_transfer {
	EFI_SCREEN_FILL,
	EFI_SCREEN_TO_BUFFER,
	EFI_SCREEN_FROM_BUFFER,
	EFI_SCREEN_MOVE,
};

struct efi_screen {
	efi_status_t (*query_mode)(struct efi_screen *screen, uint32_t mode, uint64_t *ret_size,
				   struct efi_screen_info **ret_info);
	efi_status_t (*set_mode)(struct efi_screen *screen, uint32_t mode);

	/* delta: bytes of a line of the buffer; 0: of a line that is transferred. */
	efi_status_t (*transfer)(struct efi_screen *screen, uint32_t *buffer, uint32_t how,
				 uint64_t from_x, uint64_t from_y, uint64_t to_x, uint64_t to_y,
				 uint64_t width, uint64_t height, uint64_t delta);
	struct efi_screen_mode *mode;
};

extern const struct guid efi_screen_guid;

/* The one that there is, of that size at that address, and black. */
struct efi_screen *efi_screen_make(uint64_t address, uint32_t width, uint32_t height);
