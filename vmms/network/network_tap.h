/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tap interface with queues, for a worker: Linux Documentation/networking/tuntap.rst.
 *
 * It carries the headers of virtio-net, so that offloads pass through, and is there as long as one
 * of its descriptors is: when the last is closed, however its owner ends, it is gone.
 */
#pragma once

#include "common/base/cc.h"

#include <net/if.h>

/*
 * Makes a tap of the first free name "vmtap-N", down, with `queues` descriptors, which the caller
 * closes. Return: 0; -errno: of open(2) of /dev/net/tun, or of its ioctls.
 */
int network_tap_open(unsigned queues, char ret_name[static IFNAMSIZ], int *ret_fds) MUST_CHECK;
