/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * By hand: what a network adapter is to be connected to, without a daemon that has it ready.
 *
 * A tap is opened by its name; DEFINITION_TAP_NULL is a network that nobody is on. For the
 * user-mode network passt(1) is started, with one end of a socket pair; it ends when the other end
 * is closed. Virtual switches are the daemon's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "vmwp/base/failure.h"
#include "vmwp/resource/resources.h"

/* Puts the descriptors into the resources. Return: 0; -errno and *failure. */
int network_open(struct resources *resources, const struct definition_adapter *adapter,
		 unsigned processors, struct failure *failure) MUST_CHECK;
