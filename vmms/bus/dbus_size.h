/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How large a call is. sd-bus does not tell, so its values are walked through, no further than is
 * needed to know that it is too large.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>
#include <systemd/sd-bus.h>

/*
 * Bytes, about: of its values, and of what it is addressed to. The call is read from its beginning
 * afterwards. Return: 0; -EMSGSIZE: more than `bound`; another -errno: its values cannot be read.
 */
int dbus_size_measure(sd_bus_message *call, size_t bound, size_t *ret_size) MUST_CHECK;
