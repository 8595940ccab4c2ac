#define PY_SSIZE_T_CLEAN
#include "traced_frames.h"

#if PY_VERSION_HEX >= 0x030c0000 && !defined(Py_GIL_DISABLED)

#define Py_BUILD_CORE 1
#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_interpframe_structs.h>
#endif
#include <internal/pycore_frame.h>

static void move(PyFrameObject *frame, const struct code_site *site)
{
    void *twin = site->unit + CODE_UNIT;
#if PY_VERSION_HEX >= 0x030d0000
    frame->f_frame->instr_ptr = twin;
#else
    frame->f_frame->prev_instr = twin;
#endif
}

void traced_frames_move(const struct code_site *(*site_at)(PyCodeObject *code, int offset))
{
    PyObject *current = PySys_GetObject("_current_frames");
    PyObject *frames = current ? PyObject_CallNoArgs(current) : NULL;
    PyObject *thread, *frame;
    Py_ssize_t i = 0;
    while (frames && PyDict_Next(frames, &i, &thread, &frame)) {
        PyFrameObject *f = PyFrame_Check(frame) ? (PyFrameObject *)Py_NewRef(frame) : NULL;
        while (f) {
            PyCodeObject *code = PyFrame_GetCode(f);
            const struct code_site *site = site_at(code, PyFrame_GetLasti(f));
            if (site)
                move(f, site);
            Py_DECREF(code);
            PyFrameObject *back = PyFrame_GetBack(f);
            Py_DECREF(f);
            f = back;
        }
    }
    Py_XDECREF(frames);
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(NULL); /* the toggle has taken place; a debugger may show one branch too late */
}

#else

/* 3.11 fetches the argument after the tracer has returned. On a free-threaded build the frames are other threads'. */
void traced_frames_move(const struct code_site *(*site_at)(PyCodeObject *code, int offset)) { (void)site_at; }

#endif
