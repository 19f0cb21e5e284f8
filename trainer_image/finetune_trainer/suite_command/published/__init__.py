"""FiQA sentiment, Financial PhraseBank and FinQA, in the files that their authors and users publish."""
