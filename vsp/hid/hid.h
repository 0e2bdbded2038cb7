/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What somebody at the screen has in hand. */
#pragma once

#include "vsp/hid/keyboard.h"
#include "vsp/hid/mouse.h"
