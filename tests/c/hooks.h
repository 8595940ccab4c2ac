/* Included before every file of the engine when it is built for interleavings.c. */
#ifndef __ASSEMBLER__
void at_door(void);
void at_step(int number);
#define TRAP_DOOR() at_door()
#define TRAP_FIRST_BATCH 0xfffffffeu /* the second batch gets a smaller number than the first */
#define TEXT_POKE_STEP(number) at_step(number)
#endif
