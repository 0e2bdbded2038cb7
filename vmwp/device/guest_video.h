/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The screen of a machine, where the definition has one: synthetic video (vsp/video/video.h), and
 * the frame buffer that its guest places in the windows of VMBus.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmwp/base/device.h"

#include <stdint.h>

extern const struct device_ops guest_video_ops;

/*
 * Shows it to viewers from now on, by way of a process at the other end of fd, which is taken over:
 * vmwp/device/screen_link.h. That takes the place of an earlier one. Return: 0; -EBUSY: not yet,
 * since an earlier one has not gone; -errno.
 */
int guest_video_show(void *device, int fd) MUST_CHECK;

/*
 * What the screen shows now, without the pointer: rows of pixels without gaps, of 4 bytes each.
 * pixels: room for VIDEO_VRAM_SIZE bytes. Return: false: it shows nothing.
 */
bool guest_video_copy(const void *device, uint8_t *pixels, uint32_t *ret_width,
		      uint32_t *ret_height);
