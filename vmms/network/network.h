/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The network of VMs: virtual switches, which are bridges of the host, the ports of adapters on
 * them, connections without a switch through passt, and captures.
 */
#pragma once

#include "vmms/network/capture.h"
#include "vmms/network/network_link.h"
#include "vmms/network/network_tap.h"
#include "vmms/network/passt.h"
#include "vmms/network/vswitches.h"
