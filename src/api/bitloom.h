#ifndef BITLOOM_BITLOOM_H
#define BITLOOM_BITLOOM_H
/* bitloom as a library, in C: open a model, turn text into tokens and back, render a conversation, generate text.
 *
 * Every function that can go wrong returns a status; bitloom_error() then says what was wrong, naming the file, key or
 * argument, the value and what is allowed. No C++ exception leaves the library, which neither prints nor aborts.
 * Text is UTF-8. A model may be used by one thread at a time; different models by different threads.
 *
 * Loading and generating run on threads of the library, which block all signals, while the calling thread waits: its
 * signal handlers and its settings of OpenMP stay as they are. Callbacks run on the calling thread.
 *
 * Functions that give out text or tokens take a buffer and its capacity, and always tell the whole length; what does
 * not fit is left out. A call with capacity 0 asks for the length alone; the buffer may then be NULL. */

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define BITLOOM_API __attribute__((visibility("default")))
#else
#define BITLOOM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bitloom_status {
  BITLOOM_OK = 0,
  BITLOOM_FAILED = 1, /* something went wrong while working: no memory, an unreadable file */
  BITLOOM_USAGE = 2,  /* an argument that makes no sense */
  BITLOOM_REFUSED = 3 /* a file or text is broken, unsupported or does not fit the model */
} bitloom_status;

/* Of the library: "0.1.0". */
BITLOOM_API const char* bitloom_version(void);

/* What the last call of this thread that did not return BITLOOM_OK said; "" before the first. Valid until the next
 * call that goes wrong on this thread. */
BITLOOM_API const char* bitloom_error(void);

typedef struct bitloom_model bitloom_model;

/* Options are extensible: a function below fills in the defaults, for the caller's sizeof. */
typedef struct bitloom_load_options {
  size_t size;
  int32_t threads; /* 0: one per processor */
  int32_t exact;   /* 0: inputs of products are rounded to 8 bits, which is fast; 1: they stay fp32 */
} bitloom_load_options;

typedef struct bitloom_generate_options {
  size_t size;
  int64_t max_tokens;   /* 128 */
  float temperature;    /* 0.8; 0 always takes the likeliest token */
  int32_t top_k;        /* 40: among the likeliest so many; 0: all */
  float top_p;          /* 0.95: among the likeliest that make up this share; 1: all */
  float min_p;          /* 0.05: none less likely than this x the likeliest; 0: off */
  float repeat_penalty; /* 1: off */
  uint64_t seed;        /* 0; same seed, same text */
  int32_t lookup;       /* 0: off; else up to so many tokens (at most 3) are guessed from what followed the same ones
                           before, and checked together: the same text, faster where it copies */
  int32_t reserved;     /* 0 */
} bitloom_generate_options;

/* Pass sizeof(*options). */
BITLOOM_API void bitloom_load_defaults(bitloom_load_options* options, size_t size);
BITLOOM_API void bitloom_generate_defaults(bitloom_generate_options* options, size_t size);

/* Opens a Hugging Face directory, a bitloom directory or a GGUF file. `options` may be NULL. *model is NULL unless
 * BITLOOM_OK is returned; bitloom_free() ends it. */
BITLOOM_API bitloom_status bitloom_load(const char* path, const bitloom_load_options* options, bitloom_model** model);
BITLOOM_API void bitloom_free(bitloom_model* model); /* NULL is nothing */

/* Tokens that prompt and answer may have together; 0: any number. */
BITLOOM_API int64_t bitloom_context(const bitloom_model* model);
BITLOOM_API int64_t bitloom_vocabulary(const bitloom_model* model);

typedef enum bitloom_text_kind {
  BITLOOM_PLAIN = 0,  /* no token is added */
  BITLOOM_PROMPT = 1, /* the beginning of a text: BOS before it where the model has one */
  BITLOOM_CHAT = 2    /* what bitloom_render_chat() gave: it has its special tokens already */
} bitloom_text_kind;

/* Special tokens that are written in the text are recognised in every kind. */
BITLOOM_API bitloom_status bitloom_tokenize(const bitloom_model* model, const char* text, bitloom_text_kind kind,
                                            int32_t* ids, size_t capacity, size_t* count);

/* The text of tokens, special ones left out. *length is without the 0 that ends it; capacity counts it. */
BITLOOM_API bitloom_status bitloom_detokenize(const bitloom_model* model, const int32_t* ids, size_t count, char* text,
                                              size_t capacity, size_t* length);

typedef struct bitloom_message {
  const char* role; /* "system", "user", "assistant" */
  const char* content;
} bitloom_message;

/* A conversation by the model's chat template, ready for the answer. A system message goes into the first of the user
 * where the template has no place for one. */
BITLOOM_API bitloom_status bitloom_render_chat(const bitloom_model* model, const bitloom_message* messages,
                                               size_t count, char* text, size_t capacity, size_t* length);

/* Gets text as it becomes final, `length` bytes and a 0, always whole characters, on the thread that called
 * bitloom_generate(). What it returns other than 0 ends the text. It may not use the model. */
typedef int (*bitloom_on_text)(const char* text, size_t length, void* user);

typedef enum bitloom_stop {
  BITLOOM_STOP_LENGTH = 0,     /* max_tokens */
  BITLOOM_STOP_END = 1,        /* the model ended the text */
  BITLOOM_STOP_CONTEXT = 2,    /* the context is full */
  BITLOOM_STOP_INTERRUPTED = 3 /* on_text said so */
} bitloom_stop;

/* Set `size` to sizeof(bitloom_generated) before the call: no more is written. Afterwards it says how much was. */
typedef struct bitloom_generated {
  size_t size;
  bitloom_stop stop;
  int64_t kept_tokens; /* of the prompt: those that this and the text before have in common are not computed again */
  int64_t tokens;      /* generated */
  double prompt_seconds, decode_seconds;
} bitloom_generated;

/* Continues the tokens of a prompt. `options`, `on_text` and `result` may be NULL. */
BITLOOM_API bitloom_status bitloom_generate(bitloom_model* model, const int32_t* ids, size_t count,
                                            const bitloom_generate_options* options, bitloom_on_text on_text,
                                            void* user, bitloom_generated* result);

#ifdef __cplusplus
}
#endif

#endif
