/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker as a whole, and how it is told what to do.
 */
#pragma once

#include "vmwp/control/control_server.h"
#include "vmwp/control/probe.h"
#include "vmwp/control/worker.h"
