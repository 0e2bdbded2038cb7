/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Synthetic video for the firmware: the frame buffer at one place, and one mode, that which the host
 * advises. When the channel is closed the host leaves both as they are, for the system.
 */
#pragma once

#include "guest-vsc/vmbus_client.h"

#include <stdbool.h>
#include <stdint.h>

/* Where Hyper-V has it: above what the firmware gives to PCI devices, below 4 GiB's own. */
#define EFI_VIDEO_PLACE 0xf8000000u
#define EFI_VIDEO_SIZE  (8u << 20)

/* Return: whether there is a screen, of that many pixels, 4 bytes each, in lines without gaps. */
bool efi_video_open(struct vmbus_client *bus, uint32_t *ret_width, uint32_t *ret_height) MUST_CHECK;

/* VMBus is closed. */
void efi_video_free(void);
