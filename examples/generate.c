/* Continues a text: generate MODEL TEXT */
#include <bitloom/bitloom.h>
#include <stdio.h>

static int print(const char* text, size_t length, void* user) {
  return fwrite(text, 1, length, user) != length || fflush(user) != 0;
}

static int failed(bitloom_model* model, bitloom_status status) {
  fprintf(stderr, "error: %s\n", bitloom_error());
  bitloom_free(model);
  return status;
}

int main(int argc, char** argv) {
  if (argc != 3) return fputs("usage: generate MODEL TEXT\n", stderr), 2;
  bitloom_model* model = NULL;
  bitloom_status status = bitloom_load(argv[1], NULL, &model);
  if (status != BITLOOM_OK) return failed(model, status);

  int32_t ids[4096];
  size_t count = 0;
  status = bitloom_tokenize(model, argv[2], BITLOOM_PROMPT, ids, 4096, &count);
  if (status != BITLOOM_OK) return failed(model, status);
  if (count > 4096) return fputs("error: the text is too long\n", stderr), 2;

  bitloom_generate_options options;
  bitloom_generate_defaults(&options, sizeof options);
  options.max_tokens = 32;
  options.temperature = 0;
  fputs(argv[2], stdout);
  status = bitloom_generate(model, ids, count, &options, print, stdout, NULL);
  if (status != BITLOOM_OK) return failed(model, status);
  putchar('\n');
  bitloom_free(model);
  return 0;
}
