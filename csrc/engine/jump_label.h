/*
 * The engine's interface: keys, entries, transactions and the jump table. No Python here.
 */
#ifndef JUMPLABEL_JUMP_LABEL_H
#define JUMPLABEL_JUMP_LABEL_H

#include "jump_entry.h"
#include "jump_table.h"
#include "native_sites.h"
#include "static_key.h"
#include "transaction.h"

#endif
