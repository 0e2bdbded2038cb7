/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks of the host that the service and vmctl both make.
 */
#pragma once

#include "common/host/host_check.h"
