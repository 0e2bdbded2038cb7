/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The screen of a machine, where the definition has one: synthetic video (vsp/video/video.h), and
 * the frame buffer that its guest places in the windows of VMBus.
 *
 * Thread: the loop's.
 */
#pragma once

#include "vmwp/base/device.h"

extern const struct device_ops guest_video_ops;
